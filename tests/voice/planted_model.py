"""Bugs planted in a call that the model answers by itself, for its own machine to find, with all others."""

# pyright: reportPrivateUsage=false

import pytest

from agentfield_rt.core.records import Record
from agentfield_rt.frames import ResponseStatus
from agentfield_rt.history import SpokenSoFar
from agentfield_rt.idle import Signal
from agentfield_rt.voice.answers import OwnAnswers
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.link import SessionLink
from agentfield_rt.voice.model import ModelHandler
from agentfield_rt.voice.player import Player
from tests.voice.model_machine import ModelMachine
from tests.voice.planted import PLANTED, planted

__all__ = ["PLANTED"]


@planted("nobody is told that the model owes nothing more", seen_by=ModelMachine)
def wake_up_lost(patch: pytest.MonkeyPatch) -> None:
    original = SpokenSoFar.follow

    def follow(self: SpokenSoFar, record: Record) -> None:
        changed, self.changed = self.changed, Signal()
        original(self, record)
        self.changed = changed

    patch.setattr(SpokenSoFar, "follow", follow)


@planted("an answer that nobody can hear is never over", seen_by=ModelMachine, seed=3)
def mute_answer_stays(patch: pytest.MonkeyPatch) -> None:
    original = Conversation._own_answer_ended

    def ended(self: Conversation, response_id: str, status: ResponseStatus, player: Player | None) -> None:
        if not self._spec.provider_plays:
            original(self, response_id, status, player)

    patch.setattr(Conversation, "_own_answer_ended", ended)


@planted("the model is not asked to answer what was typed", seen_by=ModelMachine)
def typed_turn_ignored(patch: pytest.MonkeyPatch) -> None:
    async def run(self: ModelHandler, link: SessionLink) -> None:
        while (turn := await link.next_turn()) is not None:
            await self._answered(turn)

    patch.setattr(ModelHandler, "__call__", run)


@planted("a tool hangs below a turn that there is not", seen_by=ModelMachine)
def tool_misplaced(patch: pytest.MonkeyPatch) -> None:
    def turn_of(self: OwnAnswers, response_id: str) -> str:
        return response_id

    patch.setattr(OwnAnswers, "turn_of", turn_of)
