"""Stops what the caller is hearing: first in their ear, then at the provider."""

import asyncio
import contextlib
import logging

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.errors import IllegalCommand, ProviderError, Reason, RepairNeeded
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.player import Player
from agentfield_rt.voice.utterance import Utterance
from agentfield_rt.voice.utterances import Utterances

log = logging.getLogger(__name__)

SILENCE_MAX_S = 2.0


class Stopping:
    """What a session does to be silent.

    Attributes:
        player: Plays the agent's audio, where media flows through us.
    """

    def __init__(
        self,
        controller: RealtimeSessionController,
        conversation: Conversation,
        utterances: Utterances,
    ) -> None:
        self.player: Player | None = None
        self._controller = controller
        self._conversation = conversation
        self._utterances = utterances
        self._answers = utterances.answers

    async def interrupt(self) -> None:
        """Stop whatever is being said and skip what waits; returns when it is silent."""
        self._utterances.skip_queued(Reason.SUPERSEDED)
        for response_id in self._answers.ids:
            await self._stop_answer(response_id)
        utterance = self._utterances.current
        if utterance is None:
            return
        await self.cut(utterance)
        # The provider says when it has stopped; silence is not waited for without end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_MAX_S):
                await utterance.wait()
        if utterance.response_id is not None:
            self._utterances.interrupted(utterance, self._conversation.heard_ms(utterance, None))

    async def cut(self, utterance: Utterance) -> None:
        """Stop an utterance; one whose answer has not begun is stopped when it does."""
        utterance.unwanted = True
        response_id = utterance.response_id
        if response_id is None:
            return
        utterance.unwanted = False
        heard_ms = None
        if self.player is not None:
            heard_ms = utterance.heard_ms = self.player.heard_ms(response_id)
            await _silence(self.player, response_id)
        await self.stop(response_id, heard_ms)
        if heard_ms is not None:
            self._utterances.interrupted(utterance, heard_ms)

    async def cut_answer(self) -> None:
        """Stop the answer that the model gives by itself, where we play it."""
        response_id = self._answers.heard_now
        if response_id is not None and self.player is not None:
            await self._stop_answer(response_id)

    async def _stop_answer(self, response_id: str) -> None:
        """Where the provider plays it, its report says what was heard."""
        heard_ms = None
        if self.player is not None:
            heard_ms = self.player.heard_ms(response_id)
            self._answers.cut(response_id, heard_ms)
            await _silence(self.player, response_id)
        await self.stop(response_id, heard_ms)
        if self.player is not None:
            self._answers.over(response_id)  # also where the player had nothing of it yet

    async def stop(self, response_id: str, heard_ms: int | None) -> None:
        """Tell the provider that nobody listens to a response any more."""
        try:
            await self._controller.interrupt(response_id, heard_ms=heard_ms)
        except (IllegalCommand, RepairNeeded, ProviderError):
            # It ended by itself in between, or the provider did not answer: we play nothing more of it.
            session_id = self._controller.state.session_id
            log.info("a response of session %s could not be interrupted", session_id)


async def _silence(player: Player, response_id: str) -> None:
    player.refuse(response_id)
    await player.clear()
