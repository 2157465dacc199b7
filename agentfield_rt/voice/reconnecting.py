"""A call whose provider connection is lost: it breaks off, and goes on from what the caller had heard.

Knows no wire: the controller replaces the connection, and the adapter tells it what was said.
"""

import asyncio
from collections.abc import Callable

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.errors import IllegalCommand, ProviderError, Reason
from agentfield_rt.items import History
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.ending import Ending
from agentfield_rt.voice.player import Player
from agentfield_rt.voice.utterance import Utterance
from agentfield_rt.voice.utterances import Utterances


class Reconnecting:
    """Replaces the connection of one session.

    What was being said stops where it is, because the rest of it will come from elsewhere: the caller hears a
    short pause and then what they had not heard. Where the provider plays, it plays on until its call is
    joined again, and stops then. What the user says meanwhile waits behind the gate.

    Args:
        history: What was said until now.
    """

    def __init__(
        self,
        controller: RealtimeSessionController,
        conversation: Conversation,
        utterances: Utterances,
        *,
        ending: Ending,
        history: Callable[[], History],
    ) -> None:
        self._controller = controller
        self._conversation = conversation
        self._utterances = utterances
        self._ending = ending
        self._history = history
        self._turn = asyncio.Lock()

    async def reconnect(self, reason: Reason, player: Player | None) -> bool:
        """False: there is no new connection, and there will be none.

        One that still works is replaced too (`RollOver`); where it is lost meanwhile, it is so only once.
        """
        works = self._is_open
        async with self._turn:
            if self._is_open and not works:
                return True
            return await self._replace(reason, player)

    @property
    def _is_open(self) -> bool:
        return self._controller.state.phase is Phase.OPEN

    async def _replace(self, reason: Reason, player: Player | None) -> bool:
        if self._conversation.take_heard():
            self._controller.proved()
        if not self._conversation.provider_plays:
            self._break_off(player)
        self._utterances.pause()
        if player is not None:
            await player.clear()
        await self._utterances.unsent()
        self._ending.abandon_unknown()
        try:
            await self._controller.reconnect(reason, history=self._history)
        except (IllegalCommand, ProviderError):
            return False
        self._ending.abandon_unknown()
        if self._conversation.provider_plays:
            self._break_off(player)
        self._utterances.go_on()
        return True

    def _break_off(self, player: Player | None) -> None:
        """Nothing is awaited here: what was heard and what is left of it are one decision."""
        utterance = self._utterances.current
        if utterance is not None and not self._reaches_the_next(utterance):
            self._utterances.take_up(self._conversation.heard_ms(utterance, player))
        self._conversation.connection_lost(player)

    def _reaches_the_next(self, utterance: Utterance) -> bool:
        """What waits behind the gate does, and so does what a call that goes on was asked before."""
        if self._conversation.provider_plays and utterance.response_id is None:
            return True
        return any(frame.frame_id == utterance.frame_id for frame in self._controller.state.gated)
