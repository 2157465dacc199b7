"""Record bytes and the hash chain over them; the only module that knows either. Does no I/O.

A record is one msgpack map: four fields the journal adds, then the draft's fields as its writer
encoded them. Both halves are joined as bytes, which saves building a second object per append and
keeps the draft's part of the bytes recognisable when the same record is appended again.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from agentfield_journal.envelope import FORMAT_VERSION, Draft, Envelope
from agentfield_journal.errors import JournalCorrupt, UnknownVersion

HASH_BYTES = 32

_encode = msgspec.msgpack.Encoder().encode
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode

_DRAFT_FIELDS = len(Draft.__struct_fields__)
_DRAFT_HEADER_BYTES = 1 if _DRAFT_FIELDS < 16 else 3
_MAP16 = b"\xde"
_UINT64 = b"\xcf"
_BIN32 = b"\xc4\x20"
_FORMAT_FIELD = b"\xa6format" + _encode(FORMAT_VERSION)
_RECORD_HEADER = _MAP16 + (_DRAFT_FIELDS + 4).to_bytes(2, "big") + _FORMAT_FIELD


class _Format(msgspec.Struct):
    format: int = 0


class RecordId(msgspec.Struct):
    """The one field needed to index a stored record."""

    record_id: str


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A record already in the run: where it is, and a fingerprint of its draft."""

    seq: int
    draft_hash: int


_decode_format = msgspec.msgpack.Decoder(_Format).decode
_decode_record_id = msgspec.msgpack.Decoder(RecordId).decode


def genesis(run_id: str) -> bytes:
    """The hash before a run's first record. It names the run, so records cannot be moved to another."""
    return sha256(b"agentfield-journal run\x00" + run_id.encode()).digest()


def link(body: bytes, prev_hash: bytes) -> bytes:
    """The hash of a record: SHA-256 over 0x00, the length of the stored bytes, the bytes, the hash before."""
    return sha256(b"\x00" + len(body).to_bytes(8, "big") + body + prev_hash).digest()


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
    """The draft's part of a record's bytes: its fields in declared order, without the map's header."""
    return _encode(draft)[_DRAFT_HEADER_BYTES:]


def draft_part(body: bytes, run_id: str) -> bytes:
    """The inverse of `encode_draft` on a stored record."""
    return body[len(record_head(run_id, 0)) + 8 :]


def record_id_of(body: bytes) -> str:
    return _decode_record_id(body).record_id


def decode(body: bytes, prev_hash: bytes, digest: bytes) -> Envelope:
    """A stored record as an envelope. The hashes are handed on, not checked.

    Raises:
        UnknownVersion: the record's format is newer than this package.
        msgspec.MsgspecError: the bytes are not a record.
    """
    if body[3:11] != _FORMAT_FIELD:
        _refuse_format(body)
    fields = int.from_bytes(body[1:3], "big") + 1
    return _decode_envelope(
        _MAP16
        + fields.to_bytes(2, "big")
        + body[11:]
        + b"\xa9prev_hash"
        + _BIN32
        + prev_hash
        + b"\xa4hash"
        + _BIN32
        + digest
    )


def check(
    run_id: str, after: int, prev_hash: bytes, rows: Sequence[tuple[int, bytes, bytes]]
) -> list[Envelope]:
    """Decode `rows` (seq, bytes, hash) that follow `after`, checking order, chain and identity.

    Raises:
        JournalCorrupt: carries the first bad seq.
        UnknownVersion: a record's format is newer than this package.
    """
    records: list[Envelope] = []
    expected = after
    for seq, body, digest in rows:
        expected += 1
        if seq != expected:
            raise JournalCorrupt(
                f"run {run_id}: record {expected} is missing, the next one is {seq}",
                run_id=run_id,
                seq=expected,
            )
        if link(body, prev_hash) != digest:
            raise JournalCorrupt(
                f"run {run_id}: record {seq} does not match its hash", run_id=run_id, seq=seq
            )
        try:
            record = decode(body, prev_hash, digest)
        except msgspec.MsgspecError as error:
            raise JournalCorrupt(
                f"run {run_id}: record {seq} cannot be decoded", run_id=run_id, seq=seq
            ) from error
        if record.seq != seq or record.run_id != run_id:
            raise JournalCorrupt(
                f"run {run_id}: the bytes of record {seq} say they are another record", run_id=run_id, seq=seq
            )
        records.append(record)
        prev_hash = digest
    return records


def _refuse_format(body: bytes) -> None:
    version = _decode_format(body).format
    if version > FORMAT_VERSION:
        raise UnknownVersion(
            f"a record has format {version}, this package reads up to {FORMAT_VERSION}; upgrade agentfield-rt"
        )
    raise msgspec.DecodeError("not a journal record")
