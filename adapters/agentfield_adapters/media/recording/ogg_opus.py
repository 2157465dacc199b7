"""Opus in Ogg (RFC 7845) through PyAV: two channels, the caller's on the left. Knows no call."""

import io
from typing import Any

import av
import numpy as np

from agentfield_rt.frames import SAMPLE_RATE_HZ

BITS_PER_S = 48_000
"""Of both channels together: speech that cannot be told from its source, 6 kB a second."""

COMPLEXITY = "5"
"""Of Opus' 0 to 10: 4 ms of a core for a second of a call, against 11 at 10."""


class _Outlet(io.RawIOBase):
    """Takes what the muxer writes, until somebody takes that away."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


class OggOpusEncoder:
    """Implements `agentfield_rt.ports.AudioEncoder`. An Ogg page, about a second, is complete at once."""

    format = "ogg_opus"

    def __init__(self) -> None:
        self._outlet = _Outlet()
        # Without it the muxer keeps the whole file in memory until it ends.
        self._container: Any = av.open(self._outlet, "w", format="ogg", options={"flush_packets": "1"})
        self._stream: Any = self._container.add_stream(
            "libopus", rate=SAMPLE_RATE_HZ, layout="stereo", options={"compression_level": COMPLEXITY}
        )
        self._stream.bit_rate = BITS_PER_S
        self._samples = 0

    def encode(self, caller: bytes, agent: bytes) -> bytes:
        """See `AudioEncoder`; raises `av.error.FFmpegError`."""
        sides = [np.frombuffer(side, dtype="<i2") for side in (caller, agent)]
        frame: Any = av.AudioFrame.from_ndarray(
            np.stack(sides, axis=1).reshape(1, -1), format="s16", layout="stereo"
        )
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._samples
        self._samples += len(sides[0])
        self._container.mux(self._stream.encode(frame))
        return self._outlet.take()

    def finish(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._outlet.take()
