"""Bugs planted at the boundary: the gate, intents and outcomes, the end, a journal that fails."""

# pyright: reportPrivateUsage=false

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from msgspec.structs import replace

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.controller import operations as operations_module
from agentfield_rt.controller.calls import Call, Calls
from agentfield_rt.controller.operations import Operations
from agentfield_rt.controller.outgoing import Outgoing
from agentfield_rt.core import commands, records
from agentfield_rt.core import decide as decide_module
from agentfield_rt.core import evolve as evolve_module
from agentfield_rt.core.lifecycle import COMMANDS, TRANSITIONS, Phase, Reaction
from agentfield_rt.core.outcomes import Records
from agentfield_rt.core.state import State
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import Media
from agentfield_rt.run import Run
from tests.controller.machine import (
    BrokenJournalMachine,
    ControllerMachine,
    WindowMachine,
)
from tests.controller.planting import EFFECTS, decided_on, settled_as
from tests.planting import Bugs, always

BUGS = Bugs(seen_by=ControllerMachine)
planted = BUGS.planted

# The gate.


@planted("the gate opens on the first gated frame")
def gate_opens(patch: pytest.MonkeyPatch) -> None:
    steps = TRANSITIONS[records.BackpressureApplied]
    patch.setitem(steps, Phase.RESTARTING, Phase.OPEN)


def _without_gate(state: State) -> State:
    return replace(state, gated=()) if state.phase is Phase.OPEN else state


@planted("a newcomer overtakes the frames that wait")
def newcomer_overtakes(patch: pytest.MonkeyPatch) -> None:
    decided_on(commands.Send, _without_gate)(patch)


@planted("audio in a window overtakes the frames that wait", seen_by=WindowMachine)
def window_overtakes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "flows", property(lambda state: state.is_open and not state.unknown))


@planted("frames leave the gate newest first")
def gate_is_a_stack(patch: pytest.MonkeyPatch) -> None:
    def gate(state: State, record: Any, changes: dict[str, Any]) -> None:
        original(state, record, changes)
        changes["gated"] = (changes["gated"][-1], *changes["gated"][:-1])

    original = evolve_module._gate
    patch.setitem(EFFECTS, records.BackpressureApplied, gate)


@planted("frames that wait are forgotten after the restart", seed=7)
def gate_is_never_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outgoing, "release", always(None))


@planted("a frame that waits is not kept")
def gated_frame_lost(patch: pytest.MonkeyPatch) -> None:
    def gate(self: Outgoing, frame: Any, decided: Records) -> None:
        self._operations.commit(decided)

    patch.setattr(Outgoing, "_gate", gate)


@planted("the gate ignores its high water")
def high_water_ignored(patch: pytest.MonkeyPatch) -> None:
    decided_on(commands.Send, lambda state: replace(state, gate_full=False))(patch)


@planted("the gate takes frames again as soon as one has left")
def low_water_ignored(patch: pytest.MonkeyPatch) -> None:
    original = evolve_module._leave_gate

    def leave(state: State, index: int, changes: dict[str, Any]) -> None:
        original(state, index, changes)
        changes["gate_full"] = False

    patch.setattr(evolve_module, "_leave_gate", leave)


@planted("a text is dropped to make room", seed=2)
def text_dropped(patch: pytest.MonkeyPatch) -> None:
    def all_audio(state: State) -> State:
        return replace(state, gated=tuple(replace(frame, media=Media.AUDIO) for frame in state.gated))

    decided_on(commands.Send, all_audio)(patch)


@planted("a blocked sender is never woken", seed=1)
def blocked_for_ever(patch: pytest.MonkeyPatch) -> None:
    async def wait(self: Outgoing) -> None:
        await asyncio.Event().wait()

    patch.setattr(Outgoing, "_wait_for_the_gate", wait)


@planted("closing leaves frames behind the gate")
def close_keeps_gated(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "drop_gated", always(()))


# Intents and outcomes.


@planted("the intent is not awaited")
def intent_not_awaited(patch: pytest.MonkeyPatch) -> None:
    async def durable(self: Run, cursor: object = None) -> None:
        await asyncio.sleep(0)

    patch.setattr(Run, "durable", durable)


@planted("the outcome is lost when a call is cancelled")
def outcome_lost_on_cancel(patch: pytest.MonkeyPatch) -> None:
    settled_as(lambda reason, unknown: None if reason is Reason.CANCELLED else unknown)(patch)


@planted("a cancelled call counts as certainly not done")
def cancelled_is_not_done(patch: pytest.MonkeyPatch) -> None:
    settled_as(lambda reason, unknown: unknown and reason is not Reason.CANCELLED)(patch)


@planted("a lost answer counts as certainly not done")
def doubt_is_not_done(patch: pytest.MonkeyPatch) -> None:
    settled_as(lambda reason, unknown: unknown and reason is not Reason.CONNECTION_LOST)(patch)


@planted("a frame whose fate is unknown is sent again")
def unknown_resent(patch: pytest.MonkeyPatch) -> None:
    original = Outgoing._operate

    async def operate(self: Outgoing, command: Any, frame: Any, intent: Any = None) -> None:
        try:
            await original(self, command, frame, intent)
        except ProviderError as error:
            if error.not_done:
                raise
            await self._adapter.send(frame)

    patch.setattr(Outgoing, "_operate", operate)


@planted("a send that a restart overtook counts as sent")
def overtaken_send_succeeds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operations_module, "succeeds", always(True))


@planted("commands go on while an outcome is unknown")
def repair_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "REPAIRABLE", frozenset(COMMANDS))


@planted("calls have no deadline")
def no_deadlines(patch: pytest.MonkeyPatch) -> None:
    def allow(self: Call, seconds: float | None) -> None:
        original(self, None)

    original = Call.allow
    patch.setattr(Call, "allow", allow)


@planted("a superseded call is left running")
def nothing_superseded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Calls, "supersede", always([]))


@planted("two frames are handed over at the same time", seed=8)
def wire_is_shared(patch: pytest.MonkeyPatch) -> None:
    class Open(nullcontext[None]):
        """A lock that everybody passes."""

    def init(self: Outgoing, *args: Any) -> None:
        original(self, *args)
        self._wire = Open()  # type: ignore[assignment]  # the bug itself

    original = Outgoing.__init__
    patch.setattr(Outgoing, "__init__", init)


@planted("a restart resets the cursors")
def cursor_reset(patch: pytest.MonkeyPatch) -> None:
    def restarted(state: State, record: Any, changes: dict[str, Any]) -> None:
        original(state, record, changes)
        changes["send_cursor"] = 0
        changes["receive_cursor"] = 0

    original = EFFECTS[records.RestartCompleted]
    patch.setitem(EFFECTS, records.RestartCompleted, restarted)


@planted("the connection is replaced as often as anybody likes", seed=3)
def restart_budget_ignored(patch: pytest.MonkeyPatch) -> None:
    decided_on(commands.Restart, lambda state: replace(state, restarts_begun=0))(patch)


# The end.


@planted("frames are sent after the end")
def send_after_close(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(COMMANDS[commands.Send], Phase.CLOSED, Reaction.ACT)
    patch.setitem(TRANSITIONS[records.InputSendRequested], Phase.CLOSED, Phase.CLOSED)
    patch.setitem(TRANSITIONS[records.InputSendFailed], Phase.CLOSED, Phase.CLOSED)
    patch.setitem(TRANSITIONS[records.InputSent], Phase.CLOSED, Phase.CLOSED)


@planted("close hangs up before what is under way has settled")
def close_before_settle(patch: pytest.MonkeyPatch) -> None:
    async def hang_up(self: Any, call: Any, reason: Any) -> None:
        await self._adapter.close(reason)

    patch.setattr(RealtimeSessionController, "_hang_up", hang_up)


@planted("a second close hangs up again")
def close_twice(patch: pytest.MonkeyPatch) -> None:
    async def close(self: Any, reason: Any = None) -> None:
        await self._adapter.close(reason)
        await original(self)

    original = RealtimeSessionController.close
    patch.setattr(RealtimeSessionController, "close", close)


# A journal that fails.


@planted("an outcome that the journal refused is dropped", seen_by=BrokenJournalMachine)
def owed_dropped(patch: pytest.MonkeyPatch) -> None:
    def pay(self: Operations) -> None:
        self._owed.clear()

    patch.setattr(Operations, "pay", pay)


@planted("an outcome that the journal refused is written twice", seen_by=BrokenJournalMachine)
def owed_twice(patch: pytest.MonkeyPatch) -> None:
    def pay(self: Operations) -> None:
        while self._owed:
            decided = decide_module.decide(self.state, self._owed[0])
            self.commit((*decided, *decided))
            del self._owed[0]

    patch.setattr(Operations, "pay", pay)


@planted("the state runs ahead of a refused append", seen_by=BrokenJournalMachine)
def state_ahead_of_journal(patch: pytest.MonkeyPatch) -> None:
    def commit(self: Any, decided: Records) -> Any:
        for record in decided:
            self.state = evolve_module.evolve(self.state, record)
        return self._run.append(decided, self._context) if decided else self._run.head

    patch.setattr(Operations, "commit", commit)


@planted("an emergency close is not recorded", seen_by=BrokenJournalMachine)
def emergency_not_recorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Operations, "owe", always(None))


@planted("an emergency hangs up again and again", seen_by=BrokenJournalMachine)
def emergency_twice(patch: pytest.MonkeyPatch) -> None:
    async def close(self: Any, reason: Any) -> None:
        self._operations.is_abandoned = self._was_hung_up = False
        await original(self, reason)

    original: Any = RealtimeSessionController._close_in_an_emergency
    patch.setattr(RealtimeSessionController, "_close_in_an_emergency", close)
