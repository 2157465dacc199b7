"""What a record is: the draft a writer hands over and the envelope the journal stores round it.

Knows nothing of sessions: a payload is bytes, a kind is a word.
"""

from enum import StrEnum

import msgspec

FORMAT_VERSION = 1


class Privacy(StrEnum):
    """How sensitive a record is. Content itself is never in the journal, whatever the class."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONTENT_REFS_ONLY = "content_refs_only"
    SENSITIVE = "sensitive"
    SECRET = "secret"


class Retention(StrEnum):
    """How long what a record refers to may be kept."""

    EPHEMERAL = "ephemeral"
    RUN = "run"
    SESSION = "session"
    DURABLE = "durable"


class Cursor(msgspec.Struct, frozen=True, gc=False, order=True):
    """A position in one run: everything up to and including `seq`. `seq` 0 is the beginning."""

    run_id: str
    seq: int

    def __str__(self) -> str:
        return f"journal.{self.seq}"


class Draft(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A record as its writer knows it; the journal adds position, epoch and chain.

    `payload` is msgpack and is stored and hashed exactly as given. An *opener* carries an `op_id`;
    its *closer* carries the same `op_id` and the opener's `request_record_id`.
    """

    record_id: str
    kind: str
    at_ns: int
    payload: bytes = b"\x80"
    version: int = 1
    op_id: str | None = None
    request_record_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    causal_refs: tuple[str, ...] = ()
    content_refs: tuple[str, ...] = ()
    privacy: Privacy = Privacy.CONTENT_REFS_ONLY
    retention: Retention = Retention.RUN
    fingerprint: str | None = None


class Envelope(Draft, frozen=True, gc=False, kw_only=True):
    """A stored record. `seq` counts 1, 2, 3 … within the run; both hashes are SHA-256 digests.

    The hashes stand beside a record's bytes, not in them: decoding leaves them empty for `codec` to fill.
    """

    run_id: str
    seq: int
    epoch: int
    prev_hash: bytes = b""
    hash: bytes = b""

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.run_id, self.seq)
