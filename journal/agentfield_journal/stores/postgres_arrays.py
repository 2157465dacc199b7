"""Arrays as PostgreSQL's binary protocol carries them, packed whole: psycopg packs element by element.

Knows nothing of what is in them.
"""

import struct
from collections.abc import Sequence

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BIGINT, _BIGINT_ARRAY = 20, 1016
_BYTEA, _BYTEA_ARRAY = 17, 1001


class PackedArray:
    """One dimension, not empty, no NULL in it."""

    def __init__(self, element_type: int, size: int, elements: bytes) -> None:
        # Dimensions, whether there are NULLs, type, size, first index.
        self.packed = struct.pack("!iiIii", 1, 0, element_type, size, 1) + elements


class BigintArray(PackedArray):
    """A `bigint[]`."""

    def __init__(self, values: Sequence[int]) -> None:
        fields: list[int] = [8] * (2 * len(values))
        fields[1::2] = values
        super().__init__(_BIGINT, len(values), struct.pack(f"!{'iq' * len(values)}", *fields))


class ByteaArray(PackedArray):
    """A `bytea[]`."""

    def __init__(self, values: Sequence[bytes]) -> None:
        fields: list[bytes] = [b""] * (2 * len(values))
        fields[0::2] = [len(value).to_bytes(4, "big") for value in values]
        fields[1::2] = values
        super().__init__(_BYTEA, len(values), b"".join(fields))


class _BigintArrayDumper(Dumper):
    format = Format.BINARY
    oid = _BIGINT_ARRAY

    def dump(self, obj: PackedArray) -> bytes:
        return obj.packed


class _ByteaArrayDumper(_BigintArrayDumper):
    oid = _BYTEA_ARRAY


def register(connection: Connection) -> None:
    """Let `connection` take these arrays as parameters."""
    connection.adapters.register_dumper(BigintArray, _BigintArrayDumper)
    connection.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
