"""One stream of mono samples from one rate to another.

FFmpeg's resampler: it holds back two milliseconds and lets no high tone fold into the voice. soxr does one or
the other, at its low or its higher qualities.
"""

from collections.abc import Iterable

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]


class Resampler:
    """Keeps between two pieces what a filter must keep.

    Args:
        from_hz: Of what comes in.
        to_hz: Of what goes out.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._stream = av.AudioResampler(format="s16", layout="mono", rate=to_hz)

    def resampled(self, samples: Samples) -> Samples:
        """Return the next samples at the other rate."""
        if not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = self._from_hz
        return _joined(self._stream.resample(frame))

    def rest(self) -> Samples:
        """Return what was held back. The stream is over then."""
        return _joined(self._stream.resample(None))


def _joined(frames: Iterable[av.AudioFrame]) -> Samples:
    pieces = [frame.to_ndarray()[0] for frame in frames]
    return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)
