"""A telephone's keys as sound."""

import numpy as np

from agentfield_adapters.media.dtmf.in_band import COLUMNS_HZ, KEYS, ROWS_HZ
from agentfield_adapters.media.g711 import Linear


def tone(digit: str, *, duration_ms: int, rate_hz: int, level_db: float = -10.0) -> Linear:
    """The tones of one key, each with its peak at `level_db` against full scale."""
    row, column = divmod(KEYS.index(digit), len(COLUMNS_HZ))
    at_s = np.arange(rate_hz * duration_ms // 1000) / rate_hz
    wave = np.sin(2 * np.pi * ROWS_HZ[row] * at_s) + np.sin(2 * np.pi * COLUMNS_HZ[column] * at_s)
    return np.clip(wave * 32768 * 10 ** (level_db / 20), -32768, 32767).astype(np.int16)
