"""Keys and ciphers of the content store: a master key wraps one key per subject. Does no I/O."""

import hmac
import secrets
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentfield_journal.drawing import drawn_bytes
from agentfield_journal.errors import JournalCorrupt

KEY_BYTES = 32
_NONCE_BYTES = 12


class MasterKey:
    """Names subjects by pseudonym and wraps their keys. `secret` is 32 random bytes."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes, this one {len(secret)}")
        self._tag_key = hmac.digest(secret, b"agentfield-journal content subject tag", sha256)
        self._wrap_key = hmac.digest(secret, b"agentfield-journal content key wrap", sha256)

    def tag(self, subject: str) -> bytes:
        """A subject's name in the store: cannot be guessed without the master key."""
        return hmac.digest(self._tag_key, subject.encode(), sha256)

    def wrap(self, subject_key: bytes, tag: bytes) -> bytes:
        return seal(self._wrap_key, subject_key, tag)

    def unwrap(self, wrapped: bytes, tag: bytes) -> bytes:
        return unseal(self._wrap_key, wrapped, tag)


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


class Sealer:
    """Seals much under one key, which is then expanded once."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, context: bytes) -> bytes:
        """`data` under AES-256-GCM, bound to `context`: a fresh nonce, the ciphertext, the tag."""
        nonce = drawn_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, context)


def seal(key: bytes, data: bytes, context: bytes) -> bytes:
    """As `Sealer.seal`, once."""
    return Sealer(key).seal(data, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """The inverse of `seal`.

    Raises:
        JournalCorrupt: the bytes, the context or the key are not those of `seal`.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise JournalCorrupt(
            "stored content was altered, or its key is another one", run_id="", seq=0
        ) from error
