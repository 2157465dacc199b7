"""Replaces a connection that its provider will end, in a pause of the conversation: nobody hears it."""

import contextlib
from collections.abc import Awaitable, Callable

from agentfield_rt.voice.live import LiveFeed


class RollOver:
    """Waits for the pause. Where none comes, the provider's own end does, and what follows any loss.

    Args:
        live: Says whenever something changes in the conversation.
        is_quiet: Whether nobody speaks, and nothing waits to be said.
        connection: Which connection there is.
        replace: Replaces it, as one that was lost.
    """

    def __init__(
        self,
        live: LiveFeed,
        *,
        is_quiet: Callable[[], bool],
        connection: Callable[[], object],
        replace: Callable[[], Awaitable[None]],
    ) -> None:
        self._live = live
        self._is_quiet = is_quiet
        self._connection = connection
        self._replace = replace

    async def in_a_pause(self) -> None:
        """Replace the connection in the next pause, unless it is another one by then."""
        expiring = self._connection()
        if not self._is_quiet():
            async with contextlib.aclosing(self._live.subscribe()) as changes:
                async for _ in changes:
                    if self._is_quiet() or self._connection() != expiring:
                        break
                else:
                    return  # the session is over
        if self._connection() == expiring:
            await self._replace()
