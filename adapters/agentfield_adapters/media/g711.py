"""G.711 µ-law and A-law by table: 8-bit telephone samples to 16-bit linear ones and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Linear = npt.NDArray[np.int16]
Table = npt.NDArray[np.int16]


def _mu_law_table() -> Table:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_table() -> Table:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = np.where(
        exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 264) << np.maximum(exponent - 1, 0)
    )
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


class Companding:
    """One of the two laws.

    Args:
        table: The linear value of each of the 256 codes.
    """

    def __init__(self, table: Table) -> None:
        self._linear = table
        order = np.argsort(table, kind="stable")
        values = table[order].astype(np.int32)
        middles = (values[1:] + values[:-1]) / 2
        every = np.arange(-32768, 32768)
        self._codes = order[np.searchsorted(middles, every)].astype(np.uint8)

    def decoded(self, codes: bytes) -> Linear:
        """Return the samples of `codes`."""
        return self._linear[np.frombuffer(codes, dtype=np.uint8)]

    def encoded(self, samples: Linear) -> bytes:
        """Return the nearest codes, one byte a sample."""
        return self._codes[samples.astype(np.int32) + 32768].tobytes()


MU_LAW = Companding(_mu_law_table())
A_LAW = Companding(_a_law_table())
