"""C2SP signed notes with Ed25519: text, an empty line, signature lines. Pure but for key files.

https://c2sp.org/signed-note; key id and encodings as in its section "Ed25519".
"""

import base64
import binascii
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agentfield_journal.durable_files import create_private

_ED25519 = b"\x01"
_SIGNATURE_START = "\u2014 "


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key with the name it signs under. Its text is the note format's "vkey"."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read a vkey.

        Raises:
            ValueError: it is none, or its id does not belong to its key.
        """
        try:
            name, key_id, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise ValueError("a verifier key looks like name+1234abcd+base64") from error
        key = cls(name, raw[1:])
        if raw[:1] != _ED25519 or len(key.public) != 32 or key.key_id.hex() != key_id:
            raise ValueError(f"the verifier key of {name} is not a whole Ed25519 key")
        return key

    def verifies(self, text: str, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key with the name it signs under; the name holds neither spaces nor plus signs."""

    def __init__(self, name: str, secret: bytes) -> None:
        if not name or "+" in name or any(character.isspace() for character in name):
            raise ValueError("a signer's name has no spaces and no plus signs")
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.secret = secret
        self.verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> "Signer":
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    def sign(self, text: str) -> str:
        """`text`, which ends with a newline, as a signed note."""
        if not text.endswith("\n"):
            raise ValueError("the text of a note ends with a newline")
        signature = base64.b64encode(self.verifier.key_id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_SIGNATURE_START}{self.verifier.name} {signature}\n"


def open_note(note: str, trusted: list[VerifierKey]) -> tuple[str, VerifierKey]:
    """The text of `note` and the first of the `trusted` keys that signed it.

    Raises:
        ValueError: no trusted key signed it, or a signature of a trusted key is false.
    """
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise ValueError("not a signed note")
    text += "\n"
    found: VerifierKey | None = None
    for line in signatures.splitlines():
        name, _, encoded = line.removeprefix(_SIGNATURE_START).partition(" ")
        raw = base64.b64decode(encoded)
        for key in trusted:
            if line.startswith(_SIGNATURE_START) and key.name == name and key.key_id == raw[:4]:
                if not key.verifies(text, raw[4:]):
                    raise ValueError(f"the signature of {name} is false")
                found = found or key
    if found is None:
        raise ValueError("no trusted key signed this note")
    return text, found


def load_or_make_signer(path: Path, name: str) -> Signer:
    """The signing key in `path`, made at first use. Keep it where the journal's backups do not go.

    Raises:
        ValueError: the file can be read by others, or is not a key.
    """
    signer = Signer.generate(name)
    try:
        create_private(path, signer.secret)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path} can be read by others than its owner; chmod 600 it") from None
        return Signer(name, path.read_bytes())
    return signer
