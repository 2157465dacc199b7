"""A synthetic caller: text to speech with a little noise, for tests, benchmarks and `af demo --call`.

It starts a mouth of its own, so it works without a provider; do not use it inside one.
"""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agentfield_adapters.local.mouth.voice import Mouth

VOICES = ("en-us+f2", "en-us+f3", "en-us+f5")  # the ones a recogniser understands best
NOISE_DB = -45.0  # below full scale: a quiet room. Digital silence misleads recognisers.

Samples = npt.NDArray[np.int16]


async def spoken(
    text: str, *, voice: str = VOICES[0], rate_hz: int = 24_000, noise_db: float = NOISE_DB
) -> Samples:
    """Return `text` as speech.

    Args:
        text: What the caller says.
        voice: An espeak-ng voice, such as `en-us+f2`.
        rate_hz: Of the result, mono.
        noise_db: Level of white noise against full scale; the same text always gets the same noise.

    Raises:
        MouthFailed: espeak-ng is not installed or does not know the voice.
    """
    mouth = Mouth()
    await mouth.start()
    try:
        words = [pcm async for _, pcm in mouth.speak(text, voice=voice, speed=1.0, rate_hz=rate_hz)]
    finally:
        await mouth.stop()
    return with_noise(np.frombuffer(b"".join(words), dtype="<i2"), noise_db=noise_db)


def speech(
    text: str, *, voice: str = VOICES[0], rate_hz: int = 24_000, noise_db: float = NOISE_DB
) -> Samples:
    """Return `text` as speech; `spoken` for callers without an event loop."""
    return asyncio.run(spoken(text, voice=voice, rate_hz=rate_hz, noise_db=noise_db))


def silence(duration_ms: int, *, rate_hz: int = 24_000, noise_db: float = NOISE_DB) -> Samples:
    """Return a quiet room for `duration_ms`."""
    return with_noise(np.zeros(rate_hz * duration_ms // 1000, dtype=np.int16), noise_db=noise_db)


def with_noise(samples: Samples, *, noise_db: float) -> Samples:
    """Return `samples` with white noise at `noise_db` against full scale."""
    noise = np.random.default_rng(len(samples)).standard_normal(len(samples)) * 32768 * 10 ** (noise_db / 20)
    return np.clip(samples + noise, -32768, 32767).astype(np.int16)


def write_wav(path: Path, samples: Samples, *, rate_hz: int) -> None:
    """Write `samples` as a mono 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
