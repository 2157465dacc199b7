"""Says in time that the provider will end a connection, so that it can be replaced while nobody speaks."""

import asyncio
import time
from typing import Any

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_rt.frames import ConnectionExpiring

AHEAD_S = 300.0
"""How long before the end it is said, of a life that is at least twice as long; of a shorter one, at half."""
_LIFETIME_S_MAX = 24 * 3600


class Expiry:
    """One connection's end, as far as it is known.

    Args:
        buffer: Where it is told, once.
        lifetime_s: How long a connection lives whose provider does not say; None: for ever.
    """

    __slots__ = ("_buffer", "_lifetime_s", "_timer")

    def __init__(self, buffer: EventBuffer, lifetime_s: float | None) -> None:
        self._buffer = buffer
        self._lifetime_s = lifetime_s
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, expires_at: Any) -> None:
        """Count from now.

        Args:
            expires_at: What the provider says (OpenAI Realtime: `session.expires_at`, seconds since the
                epoch). What cannot be true, as by a clock that is wrong, is not believed.
        """
        left_s = self._lifetime_s
        if isinstance(expires_at, int | float) and 0 < expires_at - time.time() <= _LIFETIME_S_MAX:
            left_s = expires_at - time.time()
        if left_s is None:
            return
        ahead_s = min(AHEAD_S, left_s / 2)
        told = ConnectionExpiring(ahead_s)
        self._timer = asyncio.get_running_loop().call_later(left_s - ahead_s, self._buffer.append, told)

    def cancel(self) -> None:
        """It has ended otherwise."""
        if self._timer is not None:
            self._timer.cancel()
