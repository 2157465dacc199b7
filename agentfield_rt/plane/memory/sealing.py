"""How values and vectors are sealed: names by keyed hash, bytes under AES-256-GCM. Does no I/O."""

import hmac
from hashlib import sha256

import msgspec

from agentfield_journal.content.seal import seal, unseal
from agentfield_rt.plane.memory.writes import Row


class SealedValue(msgspec.Struct, frozen=True, array_like=True):
    """A value as it is before it is sealed; `data` is its JSON."""

    key: str
    data: bytes


class SealedVector(msgspec.Struct, frozen=True, array_like=True):
    """A vector as it is before it is sealed: little-endian floats of 4 bytes, and its metadata as JSON."""

    key: str
    embedding: bytes
    metadata: bytes


_encode = msgspec.msgpack.Encoder().encode
_as_value = msgspec.msgpack.Decoder(SealedValue).decode
_as_vector = msgspec.msgpack.Decoder(SealedVector).decode


class DrawerKey:
    """What one drawer is sealed with. It lives as long as an operation: who keeps it survives an erasure."""

    def __init__(self, secret: bytes, *, tag: bytes, ref: str) -> None:
        self.tag = tag
        self.ref = ref
        self._name_key = hmac.digest(secret, b"agentfield memory name", sha256)
        self._seal_key = hmac.digest(secret, b"agentfield memory seal", sha256)

    def name(self, key: str) -> bytes:
        """A key's name in the store: it cannot be guessed."""
        return hmac.digest(self._name_key, key.encode(), sha256)

    def seal(self, content: SealedValue | SealedVector) -> bytes:
        return seal(self._seal_key, _encode(content), self._context(self.name(content.key)))

    def value(self, row: Row) -> SealedValue:
        """What `row` holds.

        Raises:
            JournalCorrupt: it was altered.
        """
        return _as_value(self._unseal(row))

    def vector(self, row: Row) -> SealedVector:
        """As `value`."""
        return _as_vector(self._unseal(row))

    def _unseal(self, row: Row) -> bytes:
        return unseal(self._seal_key, row.sealed, self._context(row.name))

    def _context(self, name: bytes) -> bytes:
        return self.tag + name
