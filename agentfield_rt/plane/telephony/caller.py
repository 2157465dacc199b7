"""Plays to a phone over its vendor's stream, and knows from the vendor's marks what of it was heard."""

import asyncio
import contextlib

from fastapi import WebSocket, WebSocketDisconnect

from agentfield_rt.frames import FRAME_BYTES, FRAME_MS
from agentfield_rt.idle import Signal
from agentfield_rt.telephony import PhoneStream

MARK_EVERY_MS = 100
"""So finely is known what was heard when the caller cuts in."""

MARKS_MAX = 64
"""Marks that are waited for at once: a vendor that returns none is asked for no more."""

SEND_MAX_S = 5.0
"""How long the vendor may read nothing of what is sent."""


class TelephonyCaller:
    """One phone (`voice.player.ConfirmingCaller`).

    Attributes:
        is_stuck: The vendor reads nothing any more.
    """

    def __init__(self, socket: WebSocket, stream: PhoneStream) -> None:
        self._socket = socket
        self._stream = stream
        self._played_bytes = 0
        self._marked_ms = 0
        self._marks: dict[str, int] = {}
        self._marks_total = 0
        self._heard_ms = 0
        self._news = Signal()
        self.is_stuck = False

    @property
    def heard_ms(self) -> int:
        return self._heard_ms

    async def play(self, pcm: bytes) -> None:
        for message in self._stream.audio(pcm):
            await self._send(message)
        self._played_bytes += len(pcm)
        if self._played_ms - self._marked_ms >= MARK_EVERY_MS:
            await self._mark()

    async def clear(self) -> None:
        """Whatever marks come back from now on are of audio that was thrown away."""
        message = self._stream.clear()
        self._marks.clear()
        self._marked_ms = self._played_ms
        self._has_heard(self._played_ms)
        await self._send(message)

    async def confirmed(self) -> None:
        rest = self._stream.rest()
        for message in rest:
            await self._send(message)
        if rest or self._marked_ms < self._played_ms:
            await self._mark()
        while self._marks:
            self._news.clear()
            await self._news.wait()

    def reached(self, name: str) -> None:
        """A mark has come back. Those before it are reached as well, one that is not known says nothing."""
        if name not in self._marks:
            return
        for each in list(self._marks):
            self._has_heard(self._marks.pop(each))
            if each == name:
                return

    @property
    def _played_ms(self) -> int:
        return self._played_bytes * FRAME_MS // FRAME_BYTES

    def _has_heard(self, until_ms: int) -> None:
        self._heard_ms = until_ms
        self._news.set()

    async def _mark(self) -> None:
        if len(self._marks) >= MARKS_MAX:
            return
        self._marks_total += 1
        name = f"mark_{self._marks_total}"
        self._marks[name] = self._marked_ms = self._played_ms
        await self._send(self._stream.mark(name))

    async def _send(self, message: str) -> None:
        if self.is_stuck:
            return
        try:
            async with asyncio.timeout(SEND_MAX_S):
                with contextlib.suppress(
                    WebSocketDisconnect, RuntimeError
                ):  # the reader sees it and hangs up
                    await self._socket.send_text(message)
        except TimeoutError:
            self.is_stuck = True
