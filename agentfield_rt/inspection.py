"""What a run's journal tells: its sessions and what is open in it. Calls nobody, writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from agentfield_journal.envelope import Envelope
from agentfield_journal.ports import Journal
from agentfield_rt.core import records
from agentfield_rt.core.completion import SEALS
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import FEATURE_CLOSERS, FEATURE_OPERATIONS, TRANSITIONS
from agentfield_rt.core.records import Record
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import CloseReason, ReplayMismatch
from agentfield_rt.run import Context, decode

PAGE_RECORDS = 1_000


@dataclass(frozen=True, slots=True)
class OpenFeature:
    """An operation above the provider boundary that has no closer: a turn, a tool call, an approval …

    Attributes:
        outlives: It is another process's work, which goes on when the one that wrote this is gone.
    """

    op_id: str
    opener: type[Record]
    context: Context
    outlives: bool = False


@dataclass(frozen=True, slots=True)
class RunInJournal:
    """What a journal tells of a run.

    Attributes:
        sessions: The provider boundary of each session, by session id; one that was never connected is idle.
        features: What is open above it, in the order it was opened.
        unsettled: Deliveries of which nobody knows whether they arrived, by operation id.
        started: Sessions that began and did not end, by session id.
        closing: Why a session was to be closed, by session id; whether it was, its phase says.
    """

    run_id: str
    sessions: Mapping[str, State]
    features: tuple[OpenFeature, ...]
    unsettled: Mapping[str, Context]
    started: tuple[str, ...]
    closing: Mapping[str, CloseReason]
    is_sealed: bool

    @property
    def goes_on(self) -> bool:
        """Whether something in it is at work in another process."""
        return any(feature.outlives for feature in self.features)

    @property
    def open_operations(self) -> tuple[OpenOperation, ...]:
        """Adapter calls whose outcome is not in the journal, of all sessions."""
        return tuple(
            operation for state in self.sessions.values() for operation in state.open_operations.values()
        )


async def inspect_run(journal: Journal, run_id: str) -> RunInJournal:
    """Fold a run for audit: no adapter call, no append, no claim on the run.

    Raises:
        ReplayMismatch: the journal contradicts the lifecycle table.
        JournalCorrupt: it was damaged.
    """
    fold = _Fold(run_id)
    after = 0
    while envelopes := await journal.read(run_id, after=after, limit=PAGE_RECORDS):
        for envelope in envelopes:
            fold.take(envelope)
        after = envelopes[-1].seq
    return fold.result()


async def history(journal: Journal, run_id: str, *, session_id: str | None = None) -> list[Record]:
    """The records of a run, or of one of its sessions: what `Approvals` and `Deliveries` take as `history`.

    Raises:
        ReplayMismatch: a record is of a kind that this version does not know.
        JournalCorrupt: the run was damaged.
    """
    told: list[Record] = []
    after = 0
    while envelopes := await journal.read(run_id, after=after, limit=PAGE_RECORDS):
        told += [decode(each) for each in envelopes if session_id is None or each.session_id == session_id]
        after = envelopes[-1].seq
    return told


class _Fold:
    """Reads a run record by record."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._sessions: dict[str, State] = {}
        self._features: dict[str, OpenFeature] = {}
        self._unsettled: dict[str, Context] = {}
        self._started: dict[str, None] = {}
        self._closing: dict[str, CloseReason] = {}
        self._is_sealed = False

    def take(self, envelope: Envelope) -> None:
        record = decode(envelope)
        record_type = type(record)
        if record_type in TRANSITIONS:
            session_id = _session_id(envelope)
            self._sessions[session_id] = evolve(self._session(session_id), record)
        elif record_type in FEATURE_OPERATIONS:
            op_id = envelope.op_id or ""
            outlives = isinstance(record, records.ExecutionQueued) and record.remote
            self._features[op_id] = OpenFeature(op_id, record_type, _context(envelope), outlives)
        elif record_type in FEATURE_CLOSERS:
            self._features.pop(envelope.op_id or "", None)
        self._note(envelope, record)

    def _session(self, session_id: str) -> State:
        return self._sessions.get(session_id) or State(session_id=session_id)

    def _note(self, envelope: Envelope, record: Record) -> None:
        match record:
            case records.CloseRequested(reason=reason):
                self._closing[_session_id(envelope)] = reason
            case records.OutputDispatchReconciliationNeeded(op_id=op_id):
                self._unsettled[op_id] = _context(envelope)
            case records.OutputDispatchReconciled(op_id=op_id):
                self._unsettled.pop(op_id, None)
            case records.SessionStarted():
                session_id = _session_id(envelope)
                self._started[session_id] = None
                self._sessions[session_id] = self._session(session_id)
            case records.SessionEnded():
                self._started.pop(_session_id(envelope), None)
            case _:
                self._is_sealed = self._is_sealed or envelope.kind in SEALS

    def result(self) -> RunInJournal:
        return RunInJournal(
            run_id=self._run_id,
            sessions=self._sessions,
            features=tuple(self._features.values()),
            unsettled=self._unsettled,
            started=tuple(self._started),
            closing=self._closing,
            is_sealed=self._is_sealed,
        )


def _context(envelope: Envelope) -> Context:
    return Context(envelope.agent_id, envelope.session_id, envelope.turn_id)


def _session_id(envelope: Envelope) -> str:
    if envelope.session_id is None:
        raise ReplayMismatch(f"record {envelope.seq} of {envelope.run_id}, {envelope.kind}, names no session")
    return envelope.session_id
