"""Audio formats of the wire to what ears and mouth use, and back: decode to 16 kHz, encode from 24 kHz."""

from __future__ import annotations

import base64
import binascii

import numpy as np

from agentfield_adapters.local.ear_rate import EarResampler
from agentfield_adapters.local.protocol.session import ALaw, AudioFormat, MuLaw, Pcm
from agentfield_adapters.local.protocol.validation import Refusal
from agentfield_adapters.media.g711 import A_LAW, MU_LAW, Companding, Linear
from agentfield_adapters.media.resampling import Resampler

MOUTH_RATE_HZ = 24_000
_TELEPHONE_RATE_HZ = 8_000


def _law(format: AudioFormat) -> Companding | None:
    match format:
        case Pcm():
            return None
        case MuLaw():
            return MU_LAW
        case ALaw():
            return A_LAW


class InputDecoder:
    """A session's input audio to 16 kHz samples; keeps what a resampler must keep between two appends."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._law = _law(format)
        rate_hz = _TELEPHONE_RATE_HZ if self._law else MOUTH_RATE_HZ
        self._resampler = EarResampler(rate_hz)
        self._odd_byte = b""

    def decoded(self, audio_base64: str) -> bytes:
        """Return 16-bit mono samples at 16 kHz.

        Raises:
            Refusal: It is not base64.
        """
        try:
            data = base64.b64decode(audio_base64, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal("invalid_value", "Invalid 'audio': expected base64.", "audio") from None
        samples: Linear
        if self._law is not None:
            samples = self._law.decoded(data)
        else:
            data = self._odd_byte + data
            self._odd_byte = data[len(data) & ~1 :]
            samples = np.frombuffer(data[: len(data) & ~1], dtype="<i2")
        return self._resampler.resampled(samples)


class OutputEncoder:
    """The mouth's 24 kHz samples to the base64 of a response's output format; one for each message."""

    def __init__(self, format: AudioFormat) -> None:
        self._law = _law(format)
        self._resampler = Resampler(MOUTH_RATE_HZ, _TELEPHONE_RATE_HZ)

    def encoded(self, pcm: bytes) -> str:
        """Return one delta's worth of audio."""
        if self._law is None:
            return base64.b64encode(pcm).decode()
        samples = self._resampler.resampled(np.frombuffer(pcm, dtype="<i2"))
        return base64.b64encode(self._law.encoded(samples)).decode()

    def rest(self) -> str:
        """Return what was held back, when no more comes."""
        return (
            "" if self._law is None else base64.b64encode(self._law.encoded(self._resampler.rest())).decode()
        )
