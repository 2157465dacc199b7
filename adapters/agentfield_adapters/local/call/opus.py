"""Opus both ways, on the event loop: a 20 ms frame costs less than handing it to a thread and back."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from agentfield_adapters.local.ear_rate import EarResampler
from agentfield_adapters.local.wire_audio import MOUTH_RATE_HZ

RTP_RATE_HZ = 48_000
FRAME_MS = 20
FRAME_TICKS = RTP_RATE_HZ * FRAME_MS // 1000
FRAME_BYTES = MOUTH_RATE_HZ * FRAME_MS // 1000 * 2
_GAP_TICKS_MAX = RTP_RATE_HZ  # a longer pause is not filled
_BIT_RATE = 32_000


class OpusEncoder:
    """20 ms of the mouth's samples to one packet."""

    def __init__(self) -> None:
        codec: Any = av.CodecContext.create("libopus", "w")
        codec.sample_rate = MOUTH_RATE_HZ
        codec.format = "s16"
        codec.layout = "mono"
        codec.bit_rate = _BIT_RATE
        codec.options = {"application": "voip", "compression_level": "5"}
        self._codec = codec
        self._encoded_samples = 0

    def encoded(self, pcm: bytes) -> bytes:
        """Return the payload of the next frame.

        Args:
            pcm: 20 ms of mono int16 PCM at 24 kHz, 960 bytes.
        """
        frame: Any = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate = MOUTH_RATE_HZ
        frame.pts = self._encoded_samples
        self._encoded_samples += len(pcm) // 2
        (packet,) = self._codec.encode(frame)
        return bytes(packet)


class OpusDecoder:
    """Packets in order to the ears' samples; what was lost on the way becomes silence."""

    def __init__(self) -> None:
        codec: Any = av.CodecContext.create("libopus", "r")
        codec.sample_rate = RTP_RATE_HZ
        codec.format = "s16"
        codec.layout = "mono"
        self._codec = codec
        self._resampler = EarResampler(RTP_RATE_HZ)
        self._expected: int | None = None

    def decoded(self, timestamp: int, payload: bytes) -> bytes:
        """Return mono int16 PCM at 16 kHz; nothing for a payload that is not Opus."""
        samples = self._samples(payload)
        missing = 0 if self._expected is None else (timestamp - self._expected) & 0xFFFFFFFF
        self._expected = (timestamp + len(samples)) & 0xFFFFFFFF
        if 0 < missing <= _GAP_TICKS_MAX:
            samples = np.concatenate([np.zeros(missing, dtype=np.int16), samples])
        return self._resampler.resampled(samples)

    def _samples(self, payload: bytes) -> npt.NDArray[np.int16]:
        try:
            frames: list[Any] = self._codec.decode(av.Packet(payload)) if payload else []
        except FFmpegError:
            frames = []
        pieces: list[npt.NDArray[np.int16]] = [frame.to_ndarray()[0] for frame in frames]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)
