"""Bugs planted on purpose. Each is one plausible slip of the hand; the machine must notice every one."""

# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from agentfield_rt import controller as controller_module
from agentfield_rt.calls import Calls
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import commands, records
from agentfield_rt.core import decide as decide_module
from agentfield_rt.core import delivery as delivery_module
from agentfield_rt.core import evolve as evolve_module
from agentfield_rt.core.decide import Records
from agentfield_rt.core.lifecycle import COMMANDS, TRANSITIONS, Phase, Reaction
from agentfield_rt.core.state import State
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.run import Run
from tests.controller.machine import BrokenJournalMachine, ControllerMachine

EFFECTS: dict[Any, Any] = evolve_module._EFFECTS
Plant = Callable[[pytest.MonkeyPatch], None]
PLANTED: dict[str, tuple[Plant, type[ControllerMachine]]] = {}


def planted(wrong: str, *, seen_by: type[ControllerMachine] = ControllerMachine) -> Callable[[Plant], Plant]:
    """Registers a bug under what it does wrong, for the machine that must find it."""

    def register(plant: Plant) -> Plant:
        PLANTED[wrong] = (plant, seen_by)
        return plant

    return register


def always(answer: object) -> Callable[..., object]:
    """A function that is not interested in its arguments."""

    def function(*_: object, **__: object) -> object:
        return answer

    return function


@planted("the gate opens on the first gated frame")
def gate_opens(patch: pytest.MonkeyPatch) -> None:
    steps = TRANSITIONS[records.BackpressureApplied]
    patch.setitem(steps, Phase.RESTARTING, Phase.OPEN)


@planted("a newcomer overtakes the frames that wait")
def newcomer_overtakes(patch: pytest.MonkeyPatch) -> None:
    async def send(self: Any, frame: Any) -> bool:
        command = commands.Send(frame.frame_id, frame.media, frame.size_bytes)
        async with self._send_turn:
            if self._state.phase is not Phase.OPEN or not self._state.gated:
                return await _send(self, command, frame, self._state)
            return await _send(self, command, frame, replace(self._state, gated=()))

    patch.setattr(RealtimeSessionController, "send", send)


async def _send(self: Any, command: Any, frame: Any, state: State) -> bool:
    decided = decide_module.decide(state, command)
    if state.phase is not Phase.OPEN:
        self._gated[frame.frame_id] = frame
        self._commit(decided)
        return False
    await self._send_now(command, frame, decided)
    return True


@planted("frames leave the gate newest first")
def gate_is_a_stack(patch: pytest.MonkeyPatch) -> None:
    def gate(state: State, record: Any, changes: dict[str, Any]) -> None:
        original(state, record, changes)
        changes["gated"] = (changes["gated"][-1], *changes["gated"][:-1])

    original = evolve_module._gate
    patch.setitem(EFFECTS, records.BackpressureApplied, gate)


@planted("frames that wait are forgotten after the restart")
def gate_is_never_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RealtimeSessionController, "_release_gated", always(None))


@planted("the outcome is lost when a call is cancelled")
def outcome_lost_on_cancel(patch: pytest.MonkeyPatch) -> None:
    original = RealtimeSessionController._settle

    def settle(self: Any, op_id: str, reason: Reason, *, unknown: bool) -> None:
        if reason is not Reason.CANCELLED:
            original(self, op_id, reason, unknown=unknown)

    patch.setattr(RealtimeSessionController, "_settle", settle)


@planted("a cancelled call counts as certainly not done")
def cancelled_is_not_done(patch: pytest.MonkeyPatch) -> None:
    original = RealtimeSessionController._settle

    def settle(self: Any, op_id: str, reason: Reason, *, unknown: bool) -> None:
        original(self, op_id, reason, unknown=unknown and reason is not Reason.CANCELLED)

    patch.setattr(RealtimeSessionController, "_settle", settle)


@planted("a lost answer counts as certainly not done")
def doubt_is_not_done(patch: pytest.MonkeyPatch) -> None:
    original = RealtimeSessionController._settle

    def settle(self: Any, op_id: str, reason: Reason, *, unknown: bool) -> None:
        original(self, op_id, reason, unknown=unknown and reason is not Reason.CONNECTION_LOST)

    patch.setattr(RealtimeSessionController, "_settle", settle)


@planted("the intent is not awaited")
def intent_not_awaited(patch: pytest.MonkeyPatch) -> None:
    async def durable(self: Run, cursor: object = None) -> None:
        await asyncio.sleep(0)

    patch.setattr(Run, "durable", durable)


@planted("frames are sent after the end")
def send_after_close(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(COMMANDS[commands.Send], Phase.CLOSED, Reaction.ACT)
    patch.setitem(TRANSITIONS[records.InputSendRequested], Phase.CLOSED, Phase.CLOSED)
    patch.setitem(TRANSITIONS[records.InputSent], Phase.CLOSED, Phase.CLOSED)


@planted("close hangs up before what is under way has settled")
def close_before_settle(patch: pytest.MonkeyPatch) -> None:
    async def hang_up(self: Any, op_id: str, reason: Any) -> None:
        await self._adapter.close(reason)

    patch.setattr(RealtimeSessionController, "_hang_up", hang_up)


@planted("a second close hangs up again")
def close_twice(patch: pytest.MonkeyPatch) -> None:
    async def close(self: Any, reason: Any = None) -> None:
        await self._adapter.close(reason)
        await original(self)

    original = RealtimeSessionController.close
    patch.setattr(RealtimeSessionController, "close", close)


@planted("a frame whose fate is unknown is sent again")
def unknown_resent(patch: pytest.MonkeyPatch) -> None:
    original = RealtimeSessionController._hand_over

    async def hand_over(self: Any, frame: Any) -> None:
        try:
            await original(self, frame)
        except ProviderError as error:
            if error.not_done:
                raise
            await original(self, frame)

    patch.setattr(RealtimeSessionController, "_hand_over", hand_over)


@planted("an interrupted response is delivered all the same")
def late_output_delivered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivery_module, "_is_interrupted", always(False))


@planted("a restart resets the send cursor")
def cursor_reset(patch: pytest.MonkeyPatch) -> None:
    def restarted(state: State, record: Any, changes: dict[str, Any]) -> None:
        original(state, record, changes)
        changes["send_cursor"] = 0
        changes["receive_cursor"] = 0

    original = EFFECTS[records.RestartCompleted]
    patch.setitem(EFFECTS, records.RestartCompleted, restarted)


@planted("a send that a restart overtook counts as sent")
def overtaken_send_succeeds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(controller_module, "succeeds", always(True))


@planted("commands go on while an outcome is unknown")
def repair_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "REPAIRABLE", frozenset(COMMANDS))


@planted("closing leaves frames behind the gate")
def close_keeps_gated(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "_drop_gated", always(()))


@planted("a superseded call is left running")
def nothing_superseded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Calls, "supersede", always([]))


@planted("an outcome that the journal refused is dropped", seen_by=BrokenJournalMachine)
def owed_dropped(patch: pytest.MonkeyPatch) -> None:
    def decide(self: Any, command: Any) -> Records:
        self._owed.clear()
        return decide_module.decide(self._state, command)

    patch.setattr(RealtimeSessionController, "_decide", decide)


@planted("the state runs ahead of a refused append", seen_by=BrokenJournalMachine)
def state_ahead_of_journal(patch: pytest.MonkeyPatch) -> None:
    def commit(self: Any, decided: Records) -> Any:
        for record in decided:
            self._state = evolve_module.evolve(self._state, record)
        return self._run.append(decided, self._context) if decided else self._run.head

    patch.setattr(RealtimeSessionController, "_commit", commit)


@planted("calls have no deadline")
def no_deadlines(patch: pytest.MonkeyPatch) -> None:
    original = RealtimeSessionController._operate

    async def operate(self: Any, command: Any, call: Any, succeed: Any, deadline_s: Any, **more: Any) -> Any:
        return await original(self, command, call, succeed, None, **more)

    patch.setattr(RealtimeSessionController, "_operate", operate)
