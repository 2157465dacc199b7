"""When sessions end that nobody ends: never used, left alone by their caller, or too old."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from agentfield_rt.errors import CloseReason
from agentfield_rt.voice.session import VoiceSession

CALLER_GRACE_S = 1.0
"""How long the last event stream of a caller may be gone before the session ends: a reload is longer."""

CONNECT_WITHIN_S = 120.0
"""A session nobody connects to ends by itself."""


class Lifetimes:
    """Ends sessions when their time has come.

    Args:
        end: Ends one, if it is not over yet.
        age_max_s: How old one may become.
    """

    def __init__(self, end: Callable[[VoiceSession, CloseReason], None], *, age_max_s: float) -> None:
        self._end = end
        self.age_max_s = age_max_s
        self._present: dict[str, int] = {}
        self._timers: dict[str, tuple[asyncio.TimerHandle, ...]] = {}

    def begin(self, session: VoiceSession) -> None:
        """It has just been started."""
        later = asyncio.get_running_loop().call_later
        self._timers[session.session_id] = (
            later(CONNECT_WITHIN_S, self._end_if_unused, session),
            later(self.age_max_s, self._end, session, CloseReason.EXPIRED),
        )

    def over(self, session_id: str) -> None:
        """It has ended; nothing here holds it any more."""
        for timer in self._timers.pop(session_id, ()):
            timer.cancel()

    @contextlib.asynccontextmanager
    async def presence(self, session: VoiceSession) -> AsyncGenerator[None, None]:
        """The caller is there while one of these is entered; the session ends soon after the last."""
        session_id = session.session_id
        self._present[session_id] = self._present.get(session_id, 0) + 1
        try:
            yield
        finally:
            self._present[session_id] -= 1
            if not self._present[session_id]:
                del self._present[session_id]
                asyncio.get_running_loop().call_later(CALLER_GRACE_S, self._end_if_gone, session)

    def _end_if_gone(self, session: VoiceSession) -> None:
        if not self._present.get(session.session_id):
            self._end(session, CloseReason.CALLER_GONE)

    def _end_if_unused(self, session: VoiceSession) -> None:
        if session.phase == "idle":
            self._end(session, CloseReason.CALLER_GONE)
