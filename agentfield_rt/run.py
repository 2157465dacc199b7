"""A run as the runtime writes and reads it: typed records in front, journal envelopes behind.

One `Run` per run and process: it gives records their ids and links closers to their openers.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agentfield_journal import StoreJournal
from agentfield_journal.envelope import Cursor, Draft, Envelope
from agentfield_journal.ports import Journal, RunWriter
from agentfield_rt.completion import RealtimeCompletionGate, RunEnd, finished
from agentfield_rt.core.completion import AFTER_SEAL, SEALS
from agentfield_rt.core.lifecycle import CLOSES, OPENERS, TRANSITIONS, Outcome
from agentfield_rt.core.records import RECORD_TYPES, ConnectRequested, Record
from agentfield_rt.core.records.rules import Repeat, StreamRuleRepeatStateRecorded
from agentfield_rt.core.rules.repeat import RepeatKey
from agentfield_rt.errors import IllegalCommand, ReplayMismatch
from agentfield_rt.idle import Few
from agentfield_rt.observe import Observation, Observer
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
_PAGE_RECORDS = 2_000
_SEALS = frozenset(RECORD_TYPES[kind] for kind in SEALS)
_AFTER_SEAL = frozenset(record_type for kind, record_type in RECORD_TYPES.items() if kind in AFTER_SEAL)


@dataclass(frozen=True, slots=True)
class Context:
    """Who a record is about; goes on the envelope so that a filter needs no payload."""

    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None


class Run:
    """The writer's side of a run.

    Args:
        journal: Where the run can be read again; without one it can be neither sealed nor waited for.
        observe: Told of every record that is taken.

    Attributes:
        intervened_once: Stream rules that intervene once in a run, and have; its sessions share them.
    """

    def __init__(
        self,
        writer: RunWriter,
        *,
        clock: Clock = system_clock,
        journal: Journal | None = None,
        observe: Observer | None = None,
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._observe = observe
        self._journal = journal
        self._sealed = False
        self._read_seq = 0
        self._place = writer.head.seq
        self._epoch = writer.epoch
        self._openers: dict[str, str] = {}
        self.intervened_once: dict[RepeatKey, None] = {}
        self._connected = Few[str]()
        self._followers: dict[str, Callable[[Record], None]] = {}

    @classmethod
    async def open(
        cls,
        journal: Journal,
        run_id: str,
        *,
        clock: Clock = system_clock,
        observe: Observer | None = None,
    ) -> "Run":
        """Become the one writer of `run_id`.

        Raises:
            JournalConflict: another process writes this journal.
            ReplayMismatch: a record in it is not what its kind says.
        """
        writer = await journal.open_run(run_id)
        run = cls(writer, clock=clock, journal=journal, observe=observe)
        # Most runs are new: of those there is nothing to ask for.
        while run._read_seq < writer.head.seq and (
            page := await journal.read(run_id, after=run._read_seq, limit=_PAGE_RECORDS)
        ):
            for envelope in page:
                run._read(envelope)
        return run

    @classmethod
    async def begin(
        cls,
        journal: Journal,
        run_id: str,
        *,
        clock: Clock = system_clock,
        observe: Observer | None = None,
    ) -> "Run":
        """Become the one writer of a run whose name was drawn at random; cheaper than `open`.

        Raises:
            JournalConflict: the name is taken.
        """
        if not isinstance(journal, StoreJournal):
            return await cls.open(journal, run_id, clock=clock, observe=observe)
        return cls(await journal.begin_run(run_id), clock=clock, journal=journal, observe=observe)

    def _read(self, envelope: Envelope) -> None:
        """What an earlier writer left: what is open, what may not happen again, perhaps the last record."""
        self._read_seq = envelope.seq
        self._sealed = self._sealed or envelope.kind in SEALS
        if envelope.kind == ConnectRequested.kind and envelope.session_id is not None:
            self._connected.add(envelope.session_id)
        if envelope.kind == StreamRuleRepeatStateRecorded.kind:
            repeated: Any = decode(envelope)
            if repeated.repeat is Repeat.ONCE_PER_RUN:
                self.intervened_once[RepeatKey.of(repeated)] = None
        record_type = RECORD_TYPES.get(envelope.kind)
        if envelope.op_id is None or record_type is None:
            return
        if record_type in OPENERS:
            self._openers[envelope.op_id] = envelope.record_id
        elif record_type in _ENDS_OPERATION:
            self._openers.pop(envelope.op_id, None)

    @property
    def run_id(self) -> str:
        return self._writer.run_id

    @property
    def head(self) -> Cursor:
        return self._writer.head

    @property
    def is_sealed(self) -> bool:
        """Whether the run has its last record."""
        return self._sealed

    def has_connected(self, session_id: str) -> bool:
        """Whether a session of this id ever asked its provider for a connection."""
        return session_id in self._connected

    def follow(self, session_id: str, follow: Callable[[Record], None]) -> None:
        """Tell `follow` of each record of a session once it is taken. It must not raise, nor append."""
        self._followers[session_id] = follow

    def append(self, records: Sequence[Record], context: Context) -> Cursor:
        """Queue `records` as one atomic batch; never blocks, never awaits.

        Raises:
            IllegalCommand: the run has its last record, or one of these would be it (see `seal`).
        """
        for record in records:
            if type(record) in _SEALS or (self._sealed and type(record) not in _AFTER_SEAL):
                raise IllegalCommand(f"{record.kind} cannot be appended: a run is sealed once, and then ends")
        return self._append(records, context)

    def _append(self, records: Sequence[Record], context: Context) -> Cursor:
        at_ns = self._clock()
        place = self._place
        drafts = [self._draft(record, context, at_ns, place := place + 1) for record in records]
        cursor = self._writer.append(drafts)
        self._place = cursor.seq
        for record in records:
            if type(record) in _ENDS_OPERATION:  # only now: what was not taken may be said again
                self._openers.pop(_op_id(record), None)
            elif type(record) is ConnectRequested and context.session_id is not None:
                self._connected.add(context.session_id)
        if (follow := self._followers.get(context.session_id or "")) is not None:
            for record in records:
                follow(record)
        if self._observe is not None:
            self._show(self._observe, records, context, at_ns)
        return cursor

    def _show(self, observe: Observer, records: Sequence[Record], context: Context, at_ns: int) -> None:
        for record in records:
            observe(
                Observation(
                    run_id=self._writer.run_id,
                    record=record,
                    at_ns=at_ns,
                    agent_id=context.agent_id,
                    session_id=context.session_id,
                    turn_id=context.turn_id,
                )
            )

    def durable(self, cursor: Cursor | None = None) -> Coroutine[Any, Any, None]:
        """Return once everything up to `cursor` (default: all of it) is on stable storage."""
        return self._writer.durable(cursor or self._writer.head)

    async def seal(self, last: Record) -> Cursor:
        """Write the run's last record (`RunCompleted`, `RunFailed` or `RunCancelled`), once it may have one.

        Returns its cursor when it is durable.

        Raises:
            RunIncomplete: something in the run is open, or it has its last record already.
        """
        if type(last) not in _SEALS:
            raise IllegalCommand(f"{last.kind} does not end a run")
        journal = self._require_journal()
        gate = RealtimeCompletionGate(self.run_id)
        while gate.seq < self.head.seq:
            await self._writer.durable(self.head)
            await gate.catch_up(journal)
        gate.require_may_seal(last.kind)
        cursor = self._append([last], Context())  # nothing can have been appended since the gate was asked
        self._sealed = True
        await self._writer.durable(cursor)
        return cursor

    async def finished(self) -> RunEnd:
        """Wait until the run has ended, and say how; see `agentfield_rt.completion.finished`."""
        return await finished(self._require_journal(), self.run_id)

    def _require_journal(self) -> Journal:
        if self._journal is None:
            raise IllegalCommand(f"run {self.run_id} was not opened from a journal that it can be read from")
        return self._journal

    async def release(self) -> None:
        await self._writer.release()

    def _draft(self, record: Record, context: Context, at_ns: int, place: int) -> Draft:
        record_id = f"{self._epoch}.{place}"  # with its place at the end, the writer need not keep it
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
