"""Bugs planted on purpose. Each is one plausible slip of the hand; the machine must notice every one."""

# pyright: reportPrivateUsage=false

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.channel.delivery import Inbox
from agentfield_rt.channel.end import ChannelEnd
from agentfield_rt.channel.to_plane import CancelRequest
from agentfield_rt.channel.wire import Wire
from agentfield_rt.plane.channel.instance import Instance
from agentfield_rt.plane.channel.running import HandlerRun
from agentfield_rt.plane.channel.serving import Serving
from agentfield_rt.voice.turns import Turns
from tests.channel.machine import ChannelMachine
from tests.planting import SEARCH, Bugs, nothing


def _machine() -> None:
    run_state_machine_as_test(ChannelMachine, settings=settings(SEARCH, stateful_step_count=30))


PLANTED = Bugs(seen_by=_machine)
planted = PLANTED.planted


def take_any(self: Inbox, seq: int) -> bool:
    """Nobody counts."""
    self.received = seq
    return True


@planted("what was on its way when the wire broke is not sent again")
def not_sent_again(patch: pytest.MonkeyPatch) -> None:
    original: Any = vars(ChannelEnd)["run"]

    async def run(self: ChannelEnd[Any], wire: Wire, *, received: int, **more: float) -> None:
        await original(self, wire, received=self._sent, **more)

    patch.setattr(ChannelEnd, "run", run)
    patch.setattr(Inbox, "take", take_any)


@planted("an answered turn goes back to the line when its agent is gone")
def answered_twice(patch: pytest.MonkeyPatch) -> None:
    original = Turns.give_back

    def give_back(self: Turns) -> None:
        self._is_answered = False
        original(self)

    patch.setattr(Turns, "give_back", give_back)


@planted("a turn stays with an agent that is gone")
def not_given_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Turns, "give_back", nothing)


@planted("a turn that nobody waited for is not given again")
def not_given_again(patch: pytest.MonkeyPatch) -> None:
    original = Serving.cancel

    def cancel(self: Serving, message: CancelRequest) -> None:
        if message.request_id in self._requests:
            original(self, message)

    patch.setattr(Serving, "cancel", cancel)


@planted("the lease of an agent never runs out")
def no_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Instance, "_count_lease", nothing)


@planted("a handler waits for an agent that is gone")
def handler_waits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HandlerRun, "lose", nothing)


@planted("an end believes that one message more was received than was")
def one_too_many(patch: pytest.MonkeyPatch) -> None:
    original: Any = vars(ChannelEnd)["run"]

    async def run(self: ChannelEnd[Any], wire: Wire, *, received: int, **more: float) -> None:
        await original(self, wire, received=min(received + 1, self._outbox.posted), **more)

    patch.setattr(ChannelEnd, "run", run)
    patch.setattr(Inbox, "take", take_any)
