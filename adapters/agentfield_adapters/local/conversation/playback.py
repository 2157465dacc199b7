"""Where the speech of an answer goes: down a websocket in pieces, or out of a peer connection as sound.

The difference matters: over a websocket the client plays, so only it knows what was heard; over a peer
connection this side plays, so a word counts as said when its first sample leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

BYTES_PER_SAMPLE = 2
DELTA_MS = 100
# Faster than real time, like the service, and slow enough to be interrupted.
TIMES_REAL_TIME = 10.0


class SpokenPart(Protocol):
    """The part of an answer that is being spoken."""

    def began(self) -> None:
        """The first sample is on its way."""
        ...

    def word(self, text: str) -> None:
        """A word begins, or has been sent."""
        ...

    def audio(self, pcm: bytes) -> None:
        """Samples for a client that plays them itself."""
        ...


class Playback(Protocol):
    """Takes words with their samples at the pace they can be cancelled at.

    Attributes:
        rate_hz: Of the samples it takes, 16-bit little-endian mono.
        plays: Whether this side plays, and so knows what was heard.
    """

    rate_hz: int
    plays: bool

    async def play(self, words: AsyncIterator[tuple[str, bytes]], part: SpokenPart) -> None:
        """Take every word and return when the last has been sent or played."""
        ...

    def clear(self) -> None:
        """Drop at once what has not been played."""
        ...

    @property
    def played_ms(self) -> int:
        """How much of the newest part has been played, or sent if a client plays it."""
        ...


class SocketPlayback:
    """Sends words and samples in word order, 100 ms of samples a delta.

    Args:
        times_real_time: How fast; infinity waits for nothing.
    """

    rate_hz = 24_000
    plays = False

    def __init__(self, times_real_time: float = TIMES_REAL_TIME) -> None:
        self._times_real_time = times_real_time
        self._sent_bytes = 0

    @property
    def played_ms(self) -> int:
        """How much has been sent."""
        return self._sent_bytes * 1000 // (self.rate_hz * BYTES_PER_SAMPLE)

    async def play(self, words: AsyncIterator[tuple[str, bytes]], part: SpokenPart) -> None:
        """Send every word: its text, then its samples."""
        self._sent_bytes = 0
        delta_bytes = self.rate_hz * DELTA_MS // 1000 * BYTES_PER_SAMPLE
        part.began()
        async for text, pcm in words:
            part.word(text)
            for start in range(0, len(pcm), delta_bytes):
                delta = pcm[start : start + delta_bytes]
                part.audio(delta)
                self._sent_bytes += len(delta)
                await asyncio.sleep(len(delta) / (self.rate_hz * BYTES_PER_SAMPLE) / self._times_real_time)

    def clear(self) -> None:
        """Nothing waits here: what was sent is the client's."""
