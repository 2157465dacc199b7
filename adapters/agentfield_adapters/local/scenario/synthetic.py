"""Ears and mouth that load no model and start no process; the same input always gives the same events."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from agentfield_adapters.local.ears.frames import Recognised

WORD_MS = 300
TRANSCRIPT_DEFAULT = "hello"
_LOUD_RMS = 300.0
_TONE_AMPLITUDE = 6000
_TONES_HZ = tuple(range(220, 880, 20))


class SyntheticMouth:
    """Says every word as a tone of 300 ms; its pitch depends on the seed and the word."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    async def start(self) -> None:
        """Nothing needs starting."""

    async def stop(self) -> None:
        """Nothing was started."""

    async def speak(
        self, text: str, *, voice: str, speed: float, rate_hz: int
    ) -> AsyncIterator[tuple[str, bytes]]:
        """Yield `(word, samples)` pairs; the words joined are `text`. The voice makes no difference."""
        parts = text.split(" ")
        samples_count = round(rate_hz * WORD_MS / 1000 / speed)
        for index, part in enumerate(parts):
            word = part if index == len(parts) - 1 else f"{part} "
            if word:
                yield word, _tone(self._seed, part, rate_hz, samples_count)


class SyntheticEar:
    """Understands the next transcript, whatever was heard."""

    def __init__(self, transcripts: Sequence[str]) -> None:
        self._left = list(transcripts)
        self._turn = TRANSCRIPT_DEFAULT

    async def expect(self, grammar: str) -> None:
        """Listen; for anything."""

    def begin(self, *, live: bool) -> None:
        """A turn begins."""
        self._turn = self._left.pop(0) if self._left else TRANSCRIPT_DEFAULT

    def hear(self, pcm: bytes) -> None:
        """Take more of the turn."""

    def recognise(self) -> asyncio.Future[Recognised]:
        """Return what the turn was; a turn that goes on stays the same."""
        future: asyncio.Future[Recognised] = asyncio.get_running_loop().create_future()
        future.set_result(Recognised(ear=0, request=0, text=self._turn, score=0.0))
        return future

    async def recover(self) -> None:
        """Nothing can be lost."""

    def close(self) -> None:
        """Nothing is held."""


class SyntheticRecogniser:
    """Ears for one session.

    Args:
        transcripts: What is understood, turn by turn.
    """

    def __init__(self, transcripts: Sequence[str]) -> None:
        self._transcripts = transcripts

    async def start(self) -> None:
        """Nothing needs starting."""

    async def stop(self) -> None:
        """Nothing was started."""

    def ear(self, on_words: Callable[[list[str]], None]) -> SyntheticEar:
        """Return a new ear; it never tells words before the end of a turn."""
        return SyntheticEar(self._transcripts)

    def forget(self, ear: object) -> None:
        """Nothing is held."""


class Loudness:
    """Takes for speech what is not soft."""

    def probability(self, chunk: bytes) -> float:
        """Return 1 for a loud chunk and 0 for a soft one: mono int16 PCM."""
        samples = np.frombuffer(chunk, dtype="<i2").astype(np.float64)
        return float(np.sqrt(np.mean(samples**2)) > _LOUD_RMS)


def _tone(seed: int, word: str, rate_hz: int, samples_count: int) -> bytes:
    digest = hashlib.sha256(f"{seed}/{word}".encode()).digest()
    tone_hz = _TONES_HZ[digest[0] % len(_TONES_HZ)]
    phase = np.arange(samples_count) * (2 * np.pi * tone_hz / rate_hz)
    samples = (np.sin(phase) * _TONE_AMPLITUDE).astype("<i2")
    return bytes(samples.tobytes())
