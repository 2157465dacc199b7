"""The rate the ears work at, and the way there from any other.

FFmpeg's resampler: it gives out what it is given at once, and keeps the hiss of an s, by which a recogniser
tells six from three. soxr does one or the other, at its low or its higher qualities.
"""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt

EAR_RATE_HZ = 16_000


class EarResampler:
    """One stream of mono samples to 16 kHz.

    Args:
        rate_hz: Of what comes in.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=EAR_RATE_HZ)

    def resampled(self, samples: npt.NDArray[np.int16]) -> bytes:
        """Return 16-bit little-endian samples at 16 kHz for the next `samples`."""
        if not len(samples):
            return b""
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = self._rate_hz
        return b"".join(out.to_ndarray().astype("<i2").tobytes() for out in self._resampler.resample(frame))
