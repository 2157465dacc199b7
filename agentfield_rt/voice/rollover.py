"""Replaces a connection that its provider will end, in a pause of the conversation: nobody hears it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.errors import ConnectionLost, Reason
from agentfield_rt.frames import ConnectionExpiring, ProviderEvent
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.live import LiveFeed


class RollOver:
    """Waits for the pause. Where none comes, the provider's own end does, and what follows any loss.

    Args:
        live: Says whenever something changes in the conversation.
        recover: Replaces a connection that is lost.
        spawn: Runs what has to wait, to the end of the session.
    """

    def __init__(
        self,
        conversation: Conversation,
        controller: RealtimeSessionController,
        live: LiveFeed,
        *,
        recover: Callable[[ConnectionLost], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        self._conversation = conversation
        self._controller = controller
        self._live = live
        self._recover = recover
        self._spawn = spawn

    def handle(self, event: ProviderEvent) -> None:
        """Take one provider event."""
        if isinstance(event, ConnectionExpiring):
            self._spawn(self._replace(self._controller.state.generation), "roll over")

    async def _replace(self, generation: int) -> None:
        async with contextlib.aclosing(self._live.subscribe()) as changes:
            while not self._conversation.is_quiet and self._is_there(generation):
                if await anext(changes, None) is None:
                    return  # the session is over
        if self._is_there(generation):
            lost = ConnectionLost("the connection was near its end", reason=Reason.SESSION_EXPIRED)
            await self._recover(lost)

    def _is_there(self, generation: int) -> bool:
        """Whether this connection was neither lost nor replaced."""
        state = self._controller.state
        return state.phase is Phase.OPEN and state.generation == generation
