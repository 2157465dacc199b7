"""What a call is about to say: each word told when its first sample leaves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from agentfield_adapters.local.conversation.playback import BYTES_PER_SAMPLE, SpokenPart
from agentfield_adapters.local.wire_audio import MOUTH_RATE_HZ
from agentfield_rt.frames import FRAME_BYTES

BUFFERED_MS_MAX = 1_000
_BYTES_A_MS = MOUTH_RATE_HZ * BYTES_PER_SAMPLE // 1000


class CallPlayback:
    """Speech that waits to leave (`Playback`), taken 20 ms at a time by the peer connection."""

    rate_hz = MOUTH_RATE_HZ
    plays = True

    def __init__(self) -> None:
        self._words: deque[tuple[str, bytes]] = deque()
        self._offset = 0  # into the first word
        self._buffered = 0
        self._played = 0
        self._part: SpokenPart | None = None
        self._has_begun = False
        self._moved = asyncio.Event()

    @property
    def played_ms(self) -> int:
        """How much of the newest part has left."""
        return self._played // _BYTES_A_MS

    async def play(self, words: AsyncIterator[tuple[str, bytes]], part: SpokenPart) -> None:
        """Take every word, a second ahead at most, and return when the last has left."""
        self.clear()
        self._part, self._has_begun, self._played = part, False, 0
        async for word in words:
            self._words.append(word)
            self._buffered += len(word[1])
            await self._until_buffered(BUFFERED_MS_MAX * _BYTES_A_MS)
        await self._until_buffered(0)

    def clear(self) -> None:
        """Drop what has not left."""
        self._words.clear()
        self._offset = self._buffered = 0
        self._part = None
        self._moved.set()

    def next_frame(self) -> bytes:
        """Return the next 20 ms, 960 bytes; silence when there is nothing to say."""
        frame = bytearray()
        while self._words and len(frame) < FRAME_BYTES:
            text, pcm = self._words[0]
            if self._offset == 0:
                self._tell(text)
            piece = pcm[self._offset : self._offset + FRAME_BYTES - len(frame)]
            frame += piece
            self._offset += len(piece)
            if self._offset >= len(pcm):
                self._words.popleft()
                self._offset = 0
        self._buffered -= len(frame)
        self._played += len(frame)
        self._moved.set()
        return bytes(frame.ljust(FRAME_BYTES, b"\0"))

    def _tell(self, text: str) -> None:
        if self._part is None:
            return
        if not self._has_begun:
            self._has_begun = True
            self._part.began()
        self._part.word(text)

    async def _until_buffered(self, most: int) -> None:
        while self._buffered > most or (most == 0 and self._words):
            self._moved.clear()
            await self._moved.wait()
