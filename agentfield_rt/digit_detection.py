"""Digits that are heard as tones in a caller's audio: what the runtime asks of whoever can find them there.

The code that listens is found by name, as adapters are; without it, digits come as messages only.
"""

import contextlib
from collections.abc import Callable
from functools import cache
from typing import Protocol

from agentfield_rt.extensions import Extensions, NotInstalled


class DigitDetector(Protocol):
    """Listens to one stream of audio."""

    def push(self, pcm: bytes) -> str:
        """The digits (0-9, `*`, `#`, A-D) found to be dialled in the next mono int16 samples, mostly none."""
        ...


DETECTORS = Extensions[Callable[[int], DigitDetector]]("agentfield_rt.digit_detectors")


def in_band_detector(rate_hz: int) -> DigitDetector | None:
    """What an installed package brings for a stream at this rate; None when none does."""
    make = _factory()
    return make(rate_hz) if make is not None else None


@cache
def _factory() -> Callable[[int], DigitDetector] | None:
    with contextlib.suppress(NotInstalled):
        return DETECTORS.load("in_band")
    return None
