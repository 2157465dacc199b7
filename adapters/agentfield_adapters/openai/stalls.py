"""Asks after an answer that has stopped coming, so that nobody waits for it for ever. Knows no socket.

A pong says that a provider's host is alive, not that it still works on an answer: what ends an answer may
have been lost on the way, or never been sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai.acknowledgements import done
from agentfield_adapters.openai.conversation import Conversation
from agentfield_rt.errors import ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import Notice

STALLED_S = 10.0
"""An answer of which nothing came for so long is asked after, within twice the time."""
CONFIRM_S = 2.0


class Ask(Protocol):
    """Sends an event and waits for its answer (`LiveConnection.ask`)."""

    def __call__(self, event: client.ClientEvent, *keys: str, within_s: float) -> Awaitable[str | None]: ...


class StallWatch:
    """Watches the answers of one connection.

    Args:
        request: Sends the request for the next response, if one waits.
    """

    def __init__(
        self,
        conversation: Conversation,
        buffer: EventBuffer,
        *,
        ask: Ask,
        request: Callable[[], Awaitable[None]],
    ) -> None:
        self._conversation = conversation
        self._buffer = buffer
        self._ask = ask
        self._request = request

    async def run(self) -> ConnectionLost:
        """Watch until the provider does not even say what became of an answer: the loss that this is."""
        before: tuple[str, int] | None = None
        while True:
            # While nothing is read, it is the runtime that is slow.
            owed = None if self._buffer.is_full else self._conversation.owed
            if owed is not None and owed == before and (loss := await self._ask_after(owed)) is not None:
                return loss
            before = owed
            await asyncio.sleep(STALLED_S)

    async def _ask_after(self, owed: tuple[str, int]) -> ConnectionLost | None:
        """Cancel it: what is running ends then, and of what is not the provider says so."""
        self._buffer.append(Notice("response", "stalled"))
        cancel = client.ResponseCancel(event_id=self._conversation.event_id())
        try:
            await self._ask(cancel, done(owed[0]), within_s=CONFIRM_S)
        except ConnectionLost:
            raise
        except ProviderError:
            if self._conversation.owed != owed:
                return None
            return ConnectionLost("the provider stopped in the middle of an answer", reason=Reason.TIMEOUT)
        if self._conversation.owed == owed:
            for event in self._conversation.give_up():
                self._buffer.append(event)
            await self._request()
        return None
