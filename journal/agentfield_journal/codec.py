"""Record bytes and the hash chain over them; the only module that knows either. Does no I/O.

A record is one msgpack map: four fields the journal adds, then the draft's fields as its writer
encoded them. Both halves are joined as bytes, which saves building a second object per append and
keeps the draft's part of the bytes recognisable when the same record is appended again.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from agentfield_journal.envelope import FORMAT_VERSION, Draft, Envelope, Privacy, Retention
from agentfield_journal.errors import JournalCorrupt, UnknownVersion

_encode = msgspec.msgpack.Encoder().encode
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_set = msgspec.structs.force_setattr  # only here, before anyone else has seen the record

_DRAFT_FIELDS = len(Draft.__struct_fields__)
_DRAFT_HEADER_BYTES = 1 if _DRAFT_FIELDS < 16 else 3
_MAP16 = b"\xde"
_UINT64 = b"\xcf"
_FORMAT_FIELD = b"\xa6format" + _encode(FORMAT_VERSION)
_RECORD_HEADER = _MAP16 + (_DRAFT_FIELDS + 4).to_bytes(2, "big") + _FORMAT_FIELD
_HEADER_BYTES = len(_RECORD_HEADER)

_NO_REFS = ()  # the one empty tuple there is
_SMALL_BYTES = 1_024
_LENGTH_PREFIXES = [b"\x00" + size.to_bytes(8, "big") for size in range(_SMALL_BYTES)]


class _Format(msgspec.Struct):
    format: int = 0


class RecordId(msgspec.Struct):
    """The one field needed to index a stored record."""

    record_id: str


class _Kind(msgspec.Struct, gc=False):
    kind: str


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A record already in the run: where it is, and a fingerprint of its draft."""

    seq: int
    draft_hash: int


_decode_format = msgspec.msgpack.Decoder(_Format).decode
_decode_kind = msgspec.msgpack.Decoder(_Kind).decode
_decode_record_id = msgspec.msgpack.Decoder(RecordId).decode


def genesis(run_id: str) -> bytes:
    """The hash before a run's first record. It names the run, so records cannot be moved to another."""
    return sha256(b"agentfield-journal run\x00" + run_id.encode()).digest()


def link(body: bytes, prev_hash: bytes) -> bytes:
    """The hash of a record: SHA-256 over 0x00, the length of the stored bytes, the bytes, the hash before."""
    size = len(body)
    prefix = _LENGTH_PREFIXES[size] if size < _SMALL_BYTES else _long_prefix(size)
    return sha256(b"".join((prefix, body, prev_hash))).digest()


def _long_prefix(size: int) -> bytes:
    return b"\x00" + size.to_bytes(8, "big")


def record_head(run_id: str, epoch: int) -> bytes:
    """What precedes `seq` and the draft in every record of one writer."""
    return (
        _RECORD_HEADER
        + _encode("run_id")
        + _encode(run_id)
        + _encode("epoch")
        + _UINT64
        + epoch.to_bytes(8, "big")
        + _encode("seq")
        + _UINT64
    )


def encode_draft(draft: Draft) -> bytes:
    """The draft's part of a record's bytes: its fields in declared order, without the map's header.

    Raises:
        ValueError: a field does not hold what it must, so that nobody could read the record again.
    """
    # Structs do not look at what they are given, and decoding to see costs as much as encoding.
    if not (
        type(draft.at_ns) is int
        and type(draft.record_id) is type(draft.kind) is str
        and type(draft.payload) is bytes
        and type(draft.version) is int
        and ((word := draft.op_id) is None or type(word) is str)
        and ((word := draft.request_record_id) is None or type(word) is str)
        and ((word := draft.agent_id) is None or type(word) is str)
        and ((word := draft.session_id) is None or type(word) is str)
        and ((word := draft.turn_id) is None or type(word) is str)
        and ((word := draft.fingerprint) is None or type(word) is str)
        and ((refs := draft.causal_refs) is _NO_REFS or (type(refs) is tuple and _are_words(refs)))
        and ((refs := draft.content_refs) is _NO_REFS or (type(refs) is tuple and _are_words(refs)))
        and type(draft.privacy) is Privacy
        and type(draft.retention) is Retention
    ):
        raise ValueError(
            "a record needs record_id and kind as str, at_ns and version as int, payload as bytes; ids and"
            " fingerprint are str or None, refs are tuples of str, privacy and retention of their classes"
        )
    try:
        return _encode(draft)[_DRAFT_HEADER_BYTES:]
    except (OverflowError, TypeError) as error:
        raise ValueError(f"not a record that can be stored: {error}") from error


def _are_words(refs: tuple[str, ...]) -> bool:
    try:
        "".join(refs)
    except TypeError:
        return False
    return True


def draft_part(body: bytes, run_id: str) -> bytes:
    """The inverse of `encode_draft` on a stored record."""
    return body[len(record_head(run_id, 0)) + 8 :]


def kind_of(body: bytes) -> str:
    """The kind of a stored record: most readers pass most records over."""
    return _decode_kind(body).kind


def record_id_of(body: bytes) -> str:
    return _decode_record_id(body).record_id


def decode(body: bytes, prev_hash: bytes, digest: bytes) -> Envelope:
    """A stored record as an envelope. The hashes are handed on, not checked.

    Raises:
        UnknownVersion: the record's format is newer than this package.
        msgspec.MsgspecError: the bytes are not a record.
    """
    if not body.startswith(_RECORD_HEADER):
        _require_format(body)
    record = _decode_envelope(body)
    _set(record, "prev_hash", prev_hash)
    _set(record, "hash", digest)
    return record


def check(
    run_id: str, after: int, prev_hash: bytes, rows: Sequence[tuple[int, bytes, bytes]]
) -> list[Envelope]:
    """Decode `rows` (seq, bytes, hash) that follow `after`, checking order, chain and identity.

    Raises:
        JournalCorrupt: carries the first bad seq.
        UnknownVersion: a record's format is newer than this package.
    """
    records: list[Envelope] = []
    keep = records.append
    expected = after
    try:
        for seq, body, digest in rows:
            expected += 1
            if seq != expected:
                raise _corrupt(run_id, expected, f"is missing, the next one is {seq}")
            # `link` and `decode`, written out: two calls less are a tenth of a replay.
            size = len(body)
            prefix = _LENGTH_PREFIXES[size] if size < _SMALL_BYTES else _long_prefix(size)
            if sha256(b"".join((prefix, body, prev_hash))).digest() != digest:
                raise _corrupt(run_id, seq, "does not match its hash")
            if not body.startswith(_RECORD_HEADER):
                _require_format(body)
            record = _decode_envelope(body)
            _set(record, "prev_hash", prev_hash)
            _set(record, "hash", digest)
            if record.seq != seq or record.run_id != run_id:
                raise _corrupt(run_id, seq, "says in its bytes that it is another one")
            keep(record)
            prev_hash = digest
    except (msgspec.MsgspecError, TypeError) as error:
        raise _corrupt(run_id, expected, "cannot be decoded") from error
    return records


def _corrupt(run_id: str, seq: int, problem: str) -> JournalCorrupt:
    return JournalCorrupt(f"run {run_id}: record {seq} {problem}", run_id=run_id, seq=seq)


def _require_format(body: bytes) -> None:
    """Take a record with more or fewer fields than ours, as a later version may write."""
    if body[:1] != _MAP16 or body[3:_HEADER_BYTES] != _FORMAT_FIELD:
        version = _decode_format(body).format
        if version > FORMAT_VERSION:
            raise UnknownVersion(
                f"a record has format {version}, this package reads up to {FORMAT_VERSION};"
                " upgrade agentfield-rt"
            )
        raise msgspec.DecodeError("not a journal record")
