"""What each record changes in the catalogue: one function for each kind that changes something. No I/O.

Runs are folded apart from each other: a record changes rows of its own run only.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from agentfield_journal.envelope import Envelope
from agentfield_rt.core import records
from agentfield_rt.core.completion import SEALS
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.plane.catalogue.rows import ExecutionRow, NoteRow, RowT, RunRow, SessionRow, TurnRow


class Rows(dict[str, RowT]):
    """The rows of one table that a fold has met, by key: found where they are kept, or made by it.

    Args:
        load: Finds a row that is kept; None: none is.
    """

    __slots__ = ("_load",)

    def __init__(self, load: Callable[[str], RowT | None] | None = None) -> None:
        super().__init__()
        self._load = load

    def find(self, key: str) -> RowT | None:
        row = self.get(key)
        if row is None and self._load is not None and (row := self._load(key)) is not None:
            self[key] = row
        return row


class RunFold:
    """One run while records of it are folded."""

    __slots__ = ("executions", "notes", "run", "sessions", "turns")

    def __init__(
        self,
        run: RunRow,
        *,
        executions: Rows[ExecutionRow],
        sessions: Rows[SessionRow],
        turns: Rows[TurnRow],
    ) -> None:
        self.run = run
        self.executions = executions
        self.sessions = sessions
        self.turns = turns
        self.notes: list[NoteRow] = []


Change: TypeAlias = Callable[[RunFold, Envelope, Any], None]


def _queued(fold: RunFold, of: Envelope, record: records.ExecutionQueued) -> None:
    if fold.executions.find(record.op_id) is not None:
        return
    node_id, _, name = record.target.partition(".")
    row = ExecutionRow(
        execution_id=record.op_id,
        run_id=of.run_id,
        seq=of.seq,
        node_id=node_id,
        name=name,
        capability=record.capability,
        # What runs in this process begins at once; a remote node has to be given it first.
        status="queued" if record.remote else "running",
        parent_execution_id=record.parent_execution_id,
        session_id=of.session_id,
        turn_id=of.turn_id,
        actor_id=record.actor_id,
        restart_of=record.restart_of,
        is_remote=record.remote,
        depth=record.depth,
        time_max_ms=record.time_max_ms,
        input_ref=record.input_ref,
        context_ref=record.context_ref,
        run_metadata_ref=record.run_metadata_ref,
        webhook_ref=record.webhook_ref,
        queued_at_ns=of.at_ns,
        started_at_ns=None if record.remote else of.at_ns,
    )
    fold.executions[record.op_id] = row


def _open_execution(fold: RunFold, execution_id: str) -> ExecutionRow | None:
    """One that has not ended: an end comes once."""
    row = fold.executions.find(execution_id)
    return row if row is not None and row.ended_at_ns is None else None


def _dispatched(
    fold: RunFold, of: Envelope, record: records.ExecutionDispatchRequested | records.ExecutionStarted
) -> None:
    if (row := _open_execution(fold, record.execution_id)) is not None:
        row.status, row.attempts = "running", record.attempt
        row.started_at_ns = row.started_at_ns or of.at_ns


def _not_dispatched(fold: RunFold, of: Envelope, record: records.ExecutionNotDispatched) -> None:
    if (row := _open_execution(fold, record.execution_id)) is not None:
        row.status = "queued"


def _paused(fold: RunFold, of: Envelope, record: records.ExecutionPaused | records.ExecutionResumed) -> None:
    if (row := _open_execution(fold, record.execution_id)) is not None:
        row.status = "waiting" if isinstance(record, records.ExecutionPaused) else "running"


def _succeeded(fold: RunFold, of: Envelope, record: records.ExecutionSucceeded) -> None:
    if (row := _open_execution(fold, record.op_id)) is not None:
        row.status, row.result_ref, row.ended_at_ns = "succeeded", record.result_ref, of.at_ns


def _failed(fold: RunFold, of: Envelope, record: records.ExecutionFailed) -> None:
    if (row := _open_execution(fold, record.op_id)) is not None:
        row.status = "timeout" if record.reason is Reason.TIMEOUT else "failed"
        row.reason, row.ended_at_ns = record.reason, of.at_ns
        row.error_ref, row.error_details_ref = record.error_ref, record.error_details_ref
        row.result_ref = None


def _cancelled(fold: RunFold, of: Envelope, record: records.ExecutionCancelled) -> None:
    if (row := _open_execution(fold, record.op_id)) is not None:
        row.status, row.result_ref, row.ended_at_ns = "cancelled", None, of.at_ns


def _reported(fold: RunFold, of: Envelope, record: records.SubcallReported) -> None:
    """Reports come in any order: a row takes from each what it does not have yet, and its end once."""
    began_at_ns = of.at_ns - (record.duration_ms or 0) * 1_000_000
    row = fold.executions.find(record.execution_id)
    if row is None:
        node_id, _, name = record.target.partition(".")
        row = ExecutionRow(
            execution_id=record.execution_id,
            run_id=of.run_id,
            seq=of.seq,
            node_id=node_id,
            name=name,
            status=record.status,
            is_reported=True,
            queued_at_ns=began_at_ns,
            started_at_ns=began_at_ns,
        )
        fold.executions[record.execution_id] = row
    if not row.is_reported:  # of what was submitted here we know better
        return
    row.parent_execution_id = row.parent_execution_id or record.parent_execution_id
    row.session_id = row.session_id or of.session_id
    row.input_ref = row.input_ref or record.input_ref
    row.queued_at_ns = row.started_at_ns = min(row.queued_at_ns, began_at_ns)
    if row.ended_at_ns is None:
        row.status, row.result_ref, row.error_ref = record.status, record.result_ref, record.error_ref
        row.ended_at_ns = None if record.status is records.ReportedStatus.RUNNING else of.at_ns


def _usage(fold: RunFold, of: Envelope, record: records.ExecutionUsageReported) -> None:
    if (row := fold.executions.find(record.execution_id)) is not None:
        row.usage_ref = record.usage_ref


def _noted(fold: RunFold, of: Envelope, record: records.ExecutionNoted) -> None:
    note = NoteRow(
        run_id=of.run_id,
        seq=of.seq,
        execution_id=record.execution_id,
        note_ref=record.note_ref,
        at_ns=of.at_ns,
    )
    fold.notes.append(note)


def _session_started(fold: RunFold, of: Envelope, record: records.SessionStarted) -> None:
    session_id = of.session_id or ""
    fold.run.session_id = fold.run.session_id or session_id
    if fold.sessions.find(session_id) is not None:
        return
    row = SessionRow(
        session_id=session_id,
        run_id=of.run_id,
        seq=of.seq,
        target=record.target,
        provider=record.provider,
        transport=record.transport,
        model=record.model,
        voice=record.voice,
        modalities=record.modalities,
        tools=record.tools,
        tags=record.tags,
        owner=record.owner,
        started_at_ns=of.at_ns,
        ended_at_ns=None,
        close_reason=None,
    )
    fold.sessions[session_id] = row


def _session_ended(fold: RunFold, of: Envelope, record: records.SessionEnded) -> None:
    row = fold.sessions.find(of.session_id or "")
    if row is not None and row.ended_at_ns is None:
        row.ended_at_ns, row.close_reason = of.at_ns, record.reason


def _turn_started(fold: RunFold, of: Envelope, record: records.TurnStarted) -> None:
    if fold.turns.find(record.op_id) is None:
        row = TurnRow(
            turn_id=record.op_id,
            run_id=of.run_id,
            seq=of.seq,
            session_id=of.session_id,
            status="running",
            reason=None,
            started_at_ns=of.at_ns,
            ended_at_ns=None,
        )
        fold.turns[record.op_id] = row


def _turn_ended(fold: RunFold, of: Envelope, record: records.TurnCompleted | records.TurnFailed) -> None:
    row = fold.turns.find(record.op_id)
    if row is None or row.ended_at_ns is not None:
        return
    row.status, row.ended_at_ns = "succeeded", of.at_ns
    if isinstance(record, records.TurnFailed):
        row.status, row.reason = "failed", record.reason


def _run_ended(fold: RunFold, of: Envelope, record: Record) -> None:
    if fold.run.ended_at_ns is None:
        fold.run.status, fold.run.ended_at_ns = SEALS[record.kind], of.at_ns
        fold.run.reason = record.reason if isinstance(record, records.RunFailed) else None


CHANGES: dict[str, Change] = {
    records.ExecutionQueued.kind: _queued,
    records.ExecutionDispatchRequested.kind: _dispatched,
    records.ExecutionStarted.kind: _dispatched,
    records.ExecutionNotDispatched.kind: _not_dispatched,
    records.ExecutionPaused.kind: _paused,
    records.ExecutionResumed.kind: _paused,
    records.ExecutionSucceeded.kind: _succeeded,
    records.ExecutionFailed.kind: _failed,
    records.ExecutionCancelled.kind: _cancelled,
    records.SubcallReported.kind: _reported,
    records.ExecutionUsageReported.kind: _usage,
    records.ExecutionNoted.kind: _noted,
    records.SessionStarted.kind: _session_started,
    records.SessionEnded.kind: _session_ended,
    records.TurnStarted.kind: _turn_started,
    records.TurnCompleted.kind: _turn_ended,
    records.TurnFailed.kind: _turn_ended,
    **dict.fromkeys(SEALS, _run_ended),
}
"""By kind; whatever is not in it changes nothing but how far a run is known."""
