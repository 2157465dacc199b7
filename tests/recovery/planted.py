"""Bugs planted on purpose. Each is one plausible slip of the hand; the enumeration must notice every one."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from agentfield_journal.ports import Journal
from agentfield_rt import inspection, recovery
from agentfield_rt.completion import RealtimeCompletionGate
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import commands, lifecycle, records
from agentfield_rt.core import decide as decide_module
from agentfield_rt.core.lifecycle import OperationName
from agentfield_rt.core.outcomes import Records, give_up
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import Reason
from agentfield_rt.frames import Media, TextFrame
from agentfield_rt.run import Context, Run
from agentfield_rt.testing import run
from tests.planting import Bugs, Plant, nothing
from tests.recovery import enumeration
from tests.recovery.golden import GOLDEN
from tests.recovery.process import RUN

STORIES = {golden.name: golden for golden in GOLDEN}
PLANTED = Bugs()


def planted(wrong: str, *, seen_in: str) -> Callable[[Plant], Plant]:
    """Registers a bug under what it does wrong, with the story that brings it to light."""

    def everywhere() -> None:
        run(enumeration.die_everywhere(STORIES[seen_in], enumeration.Tally()))

    return PLANTED.planted(wrong, seen_by=everywhere)


def no_records(*_: object) -> Records:
    return ()


def nothing_in_doubt(_: object) -> dict[str, Context]:
    return {}


def _closing(change: Callable[[OpenOperation], Records | None]) -> Plant:
    """Recovery closes a send as `change` says, where it says something."""

    def closed(operations: Any, reason: Reason) -> Records:
        closers: list[Any] = []
        for operation in operations:
            changed = change(operation) if operation.name is OperationName.SEND else None
            closers += give_up([operation], reason) if changed is None else changed
        return tuple(closers)

    return lambda patch: patch.setattr(decide_module, "give_up", closed)


@planted("a text of which nobody knows is recorded as sent", seen_in="a_text_in_doubt")
def unknown_is_done(patch: pytest.MonkeyPatch) -> None:
    def sent(operation: OpenOperation) -> Records | None:
        if operation.media is not Media.TEXT:
            return None
        return (records.InputSent(op_id=operation.op_id, cursor=1),)

    _closing(sent)(patch)


@planted("the frames of a window are counted as sent", seen_in="audio_in_windows")
def window_is_sent(patch: pytest.MonkeyPatch) -> None:
    def sent(operation: OpenOperation) -> Records | None:
        if operation.frames_max == 1:
            return None
        tally = records.WindowTally(frames=3, size_bytes=2_880, duration_ms=60, digest=bytes(32))
        unknown = records.InputSendUnknown(op_id=operation.op_id, reason=Reason.PROCESS_LOST, window=tally)
        abandoned = records.Reconciled(op_id=operation.op_id, decision=records.Decision.ABANDONED)
        return (unknown, abandoned)

    _closing(sent)(patch)


@planted("a window in doubt is recorded as one in which nothing flowed", seen_in="audio_in_windows")
def window_is_empty(patch: pytest.MonkeyPatch) -> None:
    def failed(operation: OpenOperation) -> Records | None:
        return (records.InputSendFailed(op_id=operation.op_id, reason=Reason.PROCESS_LOST),)

    _closing(failed)(patch)


@planted("what was under way is sent again", seen_in="a_text_in_doubt")
def resent(patch: pytest.MonkeyPatch) -> None:
    original = recovery.open_session

    async def open_session(journal: Journal, run_id: str, adapter: Any, **options: Any) -> Any:
        told = await recovery.history(journal, run_id)
        done = {r.op_id for r in told if isinstance(r, records.InputSent | records.InputSendFailed)}
        controller = await original(journal, run_id, adapter, **options)
        for record in told:
            if isinstance(record, records.InputSendRequested) and record.op_id not in done:
                await controller.send(TextFrame(record.frame_id or "", "again"))
                await controller.durable()
        return controller

    patch.setattr(enumeration, "open_session", open_session)


@planted("frames behind the gate are forgotten", seen_in="the_gate_fills_and_empties")
def gated_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "drop_gated", no_records)


@planted("audio that a window may have taken is recorded as dropped", seen_in="the_gate_fills_and_empties")
def released_unseen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "_released_unseen", no_records)


@planted("the connection is replaced while something is in doubt", seen_in="a_text_in_doubt")
def reconnects_in_doubt(patch: pytest.MonkeyPatch) -> None:
    def recover(self: RealtimeSessionController, _: object) -> None:
        self._operations.commit(self._operations.decide(commands.Recover()))

    patch.setattr(RealtimeSessionController, "recover", recover)
    patch.setattr(decide_module, "REPAIRABLE", lifecycle.REPAIRABLE | {commands.Restart})


@planted("a sealed run is recovered", seen_in="it_is_left_to_the_host")
def sealed_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Run, "is_sealed", False)
    patch.setattr(inspection, "SEALS", {})


@planted("a run is sealed with an open delivery", seen_in="output_is_delivered")
def sealed_with_a_delivery(patch: pytest.MonkeyPatch) -> None:
    original = recovery._close_features

    def close_features(run: Run, found: inspection.RunInJournal, session_id: str | None) -> None:
        kept = [f for f in found.features if f.opener is not records.OutputDispatchRequested]
        original(run, _with(found, features=tuple(kept)), session_id)

    patch.setattr(recovery, "_close_features", close_features)
    patch.setattr(recovery, "_in_doubt", nothing_in_doubt)
    patch.setattr(RealtimeCompletionGate, "require_may_seal", nothing)


@planted("a run is sealed while nobody knows whether a delivery arrived", seen_in="output_is_delivered")
def sealed_in_doubt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "_in_doubt", nothing_in_doubt)


@planted("somebody who only looks writes", seen_in="it_is_left_to_the_host")
def looking_writes(patch: pytest.MonkeyPatch) -> None:
    original = inspection.inspect_run

    async def inspect_run(journal: Journal, run_id: str) -> inspection.RunInJournal:
        run = await Run.open(journal, run_id)
        run.append([records.PolicyDenied(subject_ref="looked")], Context(session_id="sess_1"))
        await run.durable()
        return await original(journal, run_id)

    patch.setattr(enumeration, "inspect_run", inspect_run)


@planted("closers do not name the openers of the process that died", seen_in="all_goes_well")
def openers_not_named(patch: pytest.MonkeyPatch) -> None:
    original = Run._read

    def read(self: Run, envelope: Any) -> None:
        original(self, envelope)
        self._openers.clear()

    patch.setattr(Run, "_read", read)


@planted("only the first thing above the boundary is closed", seen_in="a_call_whose_model_uses_tools")
def first_feature_only(patch: pytest.MonkeyPatch) -> None:
    original = recovery._close_features

    def close_features(run: Run, found: inspection.RunInJournal, session_id: str | None) -> None:
        original(run, _with(found, features=found.features[:1]), session_id)

    patch.setattr(recovery, "_close_features", close_features)


@planted("a run is ended without its session", seen_in="audio_in_windows")
def session_not_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "_end_session", nothing)


def _resumed_with(**wrong: Any) -> Plant:
    """The new owner does not know all that the old one knew."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = RealtimeSessionController.resume.__func__  # type: ignore[attr-defined]  # a class method

        def resume(cls: Any, /, adapter: Any, run: Run, state: State, **options: Any) -> Any:
            return original(cls, adapter, run, replace(state, **wrong), **options)

        patch.setattr(RealtimeSessionController, "resume", classmethod(resume))

    return plant


planted("operation ids begin again", seen_in="all_goes_well")(_resumed_with(operations_total=0))
planted("the cursor begins again", seen_in="audio_in_windows")(_resumed_with(send_cursor=0))
planted("what was open is not known", seen_in="audio_in_windows")(_resumed_with(open_operations={}))


@planted("a session goes on before that is durable", seen_in="audio_in_windows")
def not_durable(patch: pytest.MonkeyPatch) -> None:
    async def durable(self: RealtimeSessionController) -> None:
        return

    patch.setattr(RealtimeSessionController, "durable", durable)


@planted("the provider is called before its intent is durable", seen_in="a_text_in_doubt")
def effects_run_ahead(patch: pytest.MonkeyPatch) -> None:
    async def durable(self: Run, cursor: object = None) -> None:
        return

    patch.setattr(Run, "durable", durable)


@planted("the connection that was lost is taken for the one there is", seen_in="all_goes_well")
def not_reconnected(patch: pytest.MonkeyPatch) -> None:
    def recovered(state: State, command: commands.Recover) -> Records:
        return tuple(r for r in original(state, command) if not isinstance(r, records.ConnectionLost))

    original = decide_module._DECIDERS[commands.Recover]
    patch.setitem(decide_module._DECIDERS, commands.Recover, recovered)


def _with(found: inspection.RunInJournal, *, features: tuple[Any, ...]) -> inspection.RunInJournal:
    return inspection.RunInJournal(
        run_id=RUN,
        sessions=found.sessions,
        features=features,
        unsettled=found.unsettled,
        started=found.started,
        closing=found.closing,
        is_sealed=found.is_sealed,
    )
