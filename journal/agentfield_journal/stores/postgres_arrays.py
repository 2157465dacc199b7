"""Arrays as PostgreSQL's binary protocol carries them, packed whole: psycopg packs element by element.

Knows nothing of what is in them.
"""

import struct
from collections.abc import Sequence

_BIGINT = 20
_BYTEA = 17


def bigint_array(values: Sequence[int]) -> bytes:
    """A `bigint[]` of one dimension, not empty, no NULL in it."""
    fields: list[int] = [8] * (2 * len(values))
    fields[1::2] = values
    return _header(_BIGINT, len(values)) + struct.pack(f"!{'iq' * len(values)}", *fields)


def bytea_array(values: Sequence[bytes]) -> bytes:
    """A `bytea[]` of one dimension, not empty, no NULL in it."""
    fields: list[bytes] = [b""] * (2 * len(values))
    fields[0::2] = [len(value).to_bytes(4, "big") for value in values]
    fields[1::2] = values
    return _header(_BYTEA, len(values)) + b"".join(fields)


def _header(element_type: int, size: int) -> bytes:
    # Dimensions, whether there are NULLs, type, size, first index.
    return struct.pack("!iiIii", 1, 0, element_type, size, 1)
