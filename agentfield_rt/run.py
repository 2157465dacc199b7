"""A run as the runtime writes and reads it: typed records in front, journal envelopes behind.

One `Run` per run and process: it gives records their ids and links closers to their openers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agentfield_journal.envelope import Cursor, Draft, Envelope
from agentfield_journal.ports import Journal, RunWriter
from agentfield_rt.core.lifecycle import CLOSES, OPENERS, TRANSITIONS, Outcome
from agentfield_rt.core.records import RECORD_TYPES, Record
from agentfield_rt.errors import ReplayMismatch
from agentfield_rt.ports import Clock, system_clock

_ENCODER = msgspec.msgpack.Encoder()
_DECODERS: dict[str, msgspec.msgpack.Decoder[Record]] = {
    kind: msgspec.msgpack.Decoder(record_type) for kind, record_type in RECORD_TYPES.items()
}
_HAS_OPERATION = frozenset(t for t in RECORD_TYPES.values() if "op_id" in t.__struct_fields__)
_ENDS_OPERATION = frozenset(
    record_type
    for record_type in _HAS_OPERATION - OPENERS
    # Of an operation whose outcome is unknown a reconciliation will speak.
    if record_type not in CLOSES or CLOSES[record_type][1] is not Outcome.UNKNOWN
)
_REF_FIELDS: dict[type[Record], tuple[str, ...]] = {
    record_type: tuple(name for name in record_type.__struct_fields__ if name.endswith("_ref"))
    for record_type in RECORD_TYPES.values()
}


@dataclass(frozen=True, slots=True)
class Context:
    """Who a record is about; goes on the envelope so that a filter needs no payload."""

    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None


class Run:
    """The writer's side of a run."""

    def __init__(self, writer: RunWriter, *, clock: Clock = system_clock) -> None:
        self._writer = writer
        self._clock = clock
        self._records_total = 0
        self._openers: dict[str, str] = {}

    @classmethod
    async def open(cls, journal: Journal, run_id: str, *, clock: Clock = system_clock) -> "Run":
        """Become the one writer of `run_id`.

        Raises:
            JournalConflict: another process writes this journal.
        """
        return cls(await journal.open_run(run_id), clock=clock)

    @property
    def run_id(self) -> str:
        return self._writer.run_id

    @property
    def head(self) -> Cursor:
        return self._writer.head

    def append(self, records: Sequence[Record], context: Context) -> Cursor:
        """Queue `records` as one atomic batch; never blocks, never awaits."""
        at_ns = self._clock()
        cursor = self._writer.append([self._draft(record, context, at_ns) for record in records])
        for record in records:
            if type(record) in _ENDS_OPERATION:  # only now: what was not taken may be said again
                self._openers.pop(_op_id(record), None)
        return cursor

    async def durable(self, cursor: Cursor | None = None) -> None:
        """Return once everything up to `cursor` (default: all of it) is on stable storage."""
        await self._writer.durable(cursor or self._writer.head)

    async def release(self) -> None:
        await self._writer.release()

    def _draft(self, record: Record, context: Context, at_ns: int) -> Draft:
        self._records_total += 1
        record_id = f"{self._writer.epoch}.{self._records_total}"
        op_id, request_record_id = self._link(record, record_id)
        return Draft(
            record_id=record_id,
            kind=record.kind,
            at_ns=at_ns,
            payload=_ENCODER.encode(record),
            op_id=op_id,
            request_record_id=request_record_id,
            agent_id=context.agent_id,
            session_id=context.session_id,
            turn_id=context.turn_id,
            content_refs=_content_refs(record),
        )

    def _link(self, record: Record, record_id: str) -> tuple[str | None, str | None]:
        record_type = type(record)
        if record_type not in _HAS_OPERATION:
            return None, None
        op_id = _op_id(record)
        if record_type in OPENERS:
            self._openers[op_id] = record_id
            return op_id, None
        return op_id, self._openers.get(op_id)


def _op_id(record: Any) -> str:
    op_id: str = record.op_id
    return op_id


def _content_refs(record: Record) -> tuple[str, ...]:
    names = _REF_FIELDS[type(record)]
    if not names:
        return ()
    return tuple(ref for name in names if (ref := getattr(record, name)) is not None)


def decode(envelope: Envelope) -> Record:
    """The record an envelope carries.

    Raises:
        ReplayMismatch: the kind is unknown to this version, or its payload does not fit.
    """
    decoder = _DECODERS.get(envelope.kind)
    if decoder is None:
        raise ReplayMismatch(
            f"record {envelope.seq} of {envelope.run_id} is of unknown kind {envelope.kind!r}"
        )
    try:
        return decoder.decode(envelope.payload)
    except msgspec.MsgspecError as error:
        raise ReplayMismatch(
            f"record {envelope.seq} of {envelope.run_id} is no valid {envelope.kind}"
        ) from error


def realtime_records(envelopes: Iterable[Envelope], session_id: str) -> list[Record]:
    """The records that `core.evolve.replay` folds into the state of one session."""
    return [
        decode(envelope)
        for envelope in envelopes
        if envelope.session_id == session_id and RECORD_TYPES.get(envelope.kind) in TRANSITIONS
    ]
