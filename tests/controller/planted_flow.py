"""Bugs planted in what flows: windows, receives, digests."""

# pyright: reportPrivateUsage=false

from typing import Any

import pytest

from agentfield_rt.controller import incoming as incoming_module
from agentfield_rt.controller.audio import OutgoingAudio
from agentfield_rt.controller.incoming import Incoming
from agentfield_rt.controller.operations import Operations
from agentfield_rt.controller.window import Allowance, Tally
from agentfield_rt.core.state import State
from agentfield_rt.errors import IllegalCommand, RepairNeeded
from tests.controller.machine import (
    ControllerMachine,
    WindowMachine,
)
from tests.planting import Bugs, always

BUGS = Bugs(seen_by=ControllerMachine)
planted = BUGS.planted

# What comes.


@planted("an interrupted response is delivered all the same")
def late_output_delivered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(incoming_module, "is_late", always(False))


@planted("late output counts as delivered", seen_by=WindowMachine)
def late_output_counted(patch: pytest.MonkeyPatch) -> None:
    original = incoming_module._Count.take

    def take(self: Any, state: State, events: Any) -> Any:
        delivered = original(self, state, events)
        self.events.update(["OutputAudio"] * self.late.total())
        self.late.clear()
        return delivered

    patch.setattr(incoming_module._Count, "take", take)


@planted("a receive that waits is left without an intent", seen_by=WindowMachine, seed=5)
def cut_under_a_receive(patch: pytest.MonkeyPatch) -> None:
    def cut(self: Incoming) -> None:
        if self.flow is not None and self.flow.count.total:
            self._close(self.flow)

    patch.setattr(Incoming, "cut", cut)


@planted("more events are asked for than the intent allows", seen_by=WindowMachine)
def demand_ignored(patch: pytest.MonkeyPatch) -> None:
    original = Incoming._receive

    async def receive(self: Incoming, flow: Any, demand: int) -> Any:
        return await original(self, flow, flow.size)

    patch.setattr(Incoming, "_receive", receive)


@planted("events that came after the session was given up are delivered", seen_by=WindowMachine, seed=1)
def given_up_and_delivered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Operations, "require_open", always(None))


# What flows.


@planted("a window is used before its intent is durable", seen_by=WindowMachine)
def allowance_ignored(patch: pytest.MonkeyPatch) -> None:
    original = Allowance.promise

    def promise(self: Allowance, cursor: Any) -> None:
        original(self, cursor)
        self.keep(cursor)

    patch.setattr(Allowance, "promise", promise)


@planted("a window counts the frame that failed", seen_by=WindowMachine)
def failed_frame_counted(patch: pytest.MonkeyPatch) -> None:
    original = OutgoingAudio._failed

    def failed(self: OutgoingAudio, flow: Any, error: BaseException, call: Any) -> BaseException:
        flow.tally.add(bytes(16))
        return original(self, flow, error, call)

    patch.setattr(OutgoingAudio, "_failed", failed)


@planted("the digest is of other bytes", seen_by=WindowMachine)
def wrong_digest(patch: pytest.MonkeyPatch) -> None:
    original = Tally.add

    def add(self: Tally, pcm: bytes) -> None:
        original(self, pcm[:-1] + b"!")

    patch.setattr(Tally, "add", add)


@planted("a window that is cut forgets what flowed", seen_by=WindowMachine)
def cut_forgets(patch: pytest.MonkeyPatch) -> None:
    original = OutgoingAudio._close

    def close(self: OutgoingAudio, flow: Any) -> None:
        flow.tally = Tally()
        original(self, flow)

    patch.setattr(OutgoingAudio, "_close", close)


@planted(
    "a window with a frame on the wire forgets what flowed when the session fails",
    seen_by=WindowMachine,
    seed=1,
)
def given_up_forgets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OutgoingAudio, "give_up", always(None))


@planted("a window that cannot be renewed is left open", seen_by=WindowMachine, seed=3)
def refused_renewal_forgotten(patch: pytest.MonkeyPatch) -> None:
    def renew(self: Operations, outcome: Any) -> Any:
        try:
            decided = self.decide(outcome)
        except (IllegalCommand, RepairNeeded):
            return None
        return decided[-1].op_id, self.commit(decided)  # type: ignore[attr-defined]  # an opener has one

    patch.setattr(Operations, "renew", renew)


@planted("an idle window is never closed", seen_by=WindowMachine)
def period_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OutgoingAudio, "_watch", always(None))


@planted("a frame that a restart overtook counts as sent in its window", seen_by=WindowMachine, seed=3)
def overtaken_frame_counts(patch: pytest.MonkeyPatch) -> None:
    def require(self: OutgoingAudio, flow: Any) -> None:
        self._operations.require_open(flow.op_id)

    patch.setattr(OutgoingAudio, "_require_current", require)


@planted("audio flows while something is in doubt", seen_by=WindowMachine)
def doubt_ignored_by_audio(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "flows", property(lambda state: state.is_open and not state.gated))


@planted("a window outlives its session", seen_by=WindowMachine)
def window_outlives_session(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Operations, "flows", property(lambda self: not (self.state.gated or self.state.unknown)))
    patch.setattr(OutgoingAudio, "cut", always(None))
    patch.setattr(OutgoingAudio, "give_up", always(None))
