"""Finds dialled digits in a caller's audio, where no message beside it reports them.

A window of 25.6 ms is compared with each of the eight tones (what Goertzel's algorithm computes, as one
product of matrices). Speech has energy elsewhere, so most of it must be in one low and one high tone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
"""What a telephone dials, each key by a tone of its row and one of its column (ITU-T Q.23)."""

_WINDOW_MS = 25.6  # tones 73 Hz apart are told from each other
_STEP_MS = 12.8  # a tone of 40 ms, the shortest there may be, fills two windows at least
_WINDOWS_ON = 2
_WINDOWS_OFF = 3  # a hole of 10 ms is none, a pause of 40 ms is one
_OFFSETS = (0.988, 1.0, 1.012)  # a key's tones may be 1.5 % off (ITU-T Q.24)
_IN_TONES_MIN = 0.7  # of the window's energy
_TWIST_MAX = 6.3  # 8 dB: how much the tones of a pair may differ in power
_POWER_MIN = 32768.0**2 * 10 ** (-42 / 10)

Floats = npt.NDArray[np.float32]


@cache
def _waves(rate_hz: int) -> Floats:
    """Each tone at each offset, as cosine and as sine: a window times this is their strength and phase."""
    tones_hz = np.outer((*ROWS_HZ, *COLUMNS_HZ), _OFFSETS).ravel()
    phase = 2 * np.pi * np.outer(np.arange(round(rate_hz * _WINDOW_MS / 1000)), tones_hz) / rate_hz
    return np.hstack((np.cos(phase), np.sin(phase))).astype(np.float32)


class InBandDigits:
    """The digits in one stream of audio (`digit_detection.DigitDetector`).

    Args:
        rate_hz: Of the stream; at least 8 000.
    """

    def __init__(self, rate_hz: int) -> None:
        self._waves = _waves(rate_hz)
        self._window = len(self._waves)
        self._step = round(rate_hz * _STEP_MS / 1000)
        self._pcm = b""
        self._seen = ""  # the key in the last window, if there is one
        self._windows = 0  # for how many in a row
        self._pressed = ""  # the key that was reported and is held down

    def push(self, pcm: bytes) -> str:
        """Return the digits that are found to be dialled in the next mono int16 samples, mostly none."""
        self._pcm += pcm
        dialled, at = "", 0
        while at + self._window * 2 <= len(self._pcm):
            samples = np.frombuffer(self._pcm, "<i2", self._window, at).astype(np.float32)
            dialled += self._after(self._key_in(samples))
            at += self._step * 2
        self._pcm = self._pcm[at:]
        return dialled

    def _after(self, key: str) -> str:
        """Take notice of one more window; a key is reported as soon as it is certain, once."""
        self._windows = self._windows + 1 if key == self._seen else 1
        self._seen = key
        if not key:
            if self._windows >= _WINDOWS_OFF:
                self._pressed = ""
            return ""
        if self._windows < _WINDOWS_ON or key == self._pressed:
            return ""
        self._pressed = key
        return key

    def _key_in(self, window: Floats) -> str:
        """The key whose tones make up this window, or none."""
        energy = float(window @ window)
        if energy < _POWER_MIN * self._window:
            return ""
        parts = (window @ self._waves).reshape(2, -1, len(_OFFSETS))
        powers: list[float] = (parts[0] ** 2 + parts[1] ** 2).max(axis=1).tolist()
        rows, columns = powers[: len(ROWS_HZ)], powers[len(ROWS_HZ) :]
        low, high = max(rows), max(columns)
        if (low + high) * 2 < _IN_TONES_MIN * self._window * energy:
            return ""
        if not (low <= high * _TWIST_MAX and high <= low * _TWIST_MAX):
            return ""
        return KEYS[rows.index(low) * len(columns) + columns.index(high)]
