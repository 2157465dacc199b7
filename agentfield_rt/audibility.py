"""Where in samples something is audible: stretches of loudness, to a few milliseconds.

Needs numpy. Knows no call and no file, and not what is loud: a caller's noisy room and a clean line differ.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """Samples from `start` up to, not including, `end`."""

    start: int
    end: int


def levels(samples: npt.NDArray[Any], window: int) -> Levels:
    """The root mean square of each whole `window` of samples, in the samples' own unit."""
    whole = samples[: len(samples) // window * window].astype(np.float64).reshape(-1, window)
    return cast(Levels, np.sqrt((whole**2).mean(axis=1)))


def audible_spans(
    loudness: Levels, threshold: float, *, window: int, pause_windows_max: int, windows_min: int
) -> list[Span]:
    """The stretches above `threshold`, in samples.

    Args:
        loudness: What `levels` gave for this `window`.
        pause_windows_max: A shorter pause, or one as long, belongs to the stretch round it.
        windows_min: A shorter stretch is a click.
    """
    active = np.flatnonzero(loudness > threshold)
    if len(active) == 0:
        return []
    breaks = np.flatnonzero(np.diff(active) > pause_windows_max)
    firsts = active[np.concatenate([[0], breaks + 1])]
    lasts = active[np.concatenate([breaks, [len(active) - 1]])]
    return [
        Span(int(first) * window, (int(last) + 1) * window)
        for first, last in zip(firsts, lasts, strict=True)
        if last - first + 1 >= windows_min
    ]
