"""What each record changes in the catalogue: one function for each kind that changes something.

Runs are folded apart from each other: a record changes rows of its own run only.
"""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from agentfield_journal.envelope import Envelope
from agentfield_journal.stores.sqlite_connection import Database
from agentfield_rt.core import records
from agentfield_rt.core.completion import SEALS
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason

Change: TypeAlias = Callable[[Database, Envelope, Any], None]


def _insert(table: str, columns: str, conflict: str) -> str:
    names = columns.split()
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT {conflict}"


_QUEUED = _insert(
    "executions",
    "execution_id run_id seq node_id name capability status parent_execution_id session_id turn_id actor_id"
    " restart_of is_remote depth time_max_ms input_ref context_ref run_metadata_ref webhook_ref"
    " queued_at_ns started_at_ns",
    "(execution_id, run_id) DO NOTHING",
)
_DISPATCHED = """
UPDATE executions SET status = 'running', attempts = ?, started_at_ns = coalesce(started_at_ns, ?)
WHERE execution_id = ? AND run_id = ? AND ended_at_ns IS NULL
"""
_NOT_DISPATCHED = """
UPDATE executions SET status = 'queued' WHERE execution_id = ? AND run_id = ? AND ended_at_ns IS NULL
"""
_EXECUTION_ENDED = """
UPDATE executions SET status = ?, reason = ?, result_ref = ?, error_ref = ?, ended_at_ns = ?
WHERE execution_id = ? AND run_id = ? AND ended_at_ns IS NULL
"""
# Reports come in any order, so a row takes from each what it does not have yet; its end it takes once.
_REPORTED = _insert(
    "executions",
    "execution_id run_id seq node_id name status parent_execution_id session_id is_reported input_ref"
    " result_ref error_ref queued_at_ns started_at_ns ended_at_ns",
    """(execution_id, run_id) DO UPDATE SET
    status = iif(ended_at_ns IS NULL, excluded.status, status),
    parent_execution_id = coalesce(parent_execution_id, excluded.parent_execution_id),
    session_id = coalesce(session_id, excluded.session_id),
    input_ref = coalesce(input_ref, excluded.input_ref),
    result_ref = iif(ended_at_ns IS NULL, excluded.result_ref, result_ref),
    error_ref = iif(ended_at_ns IS NULL, excluded.error_ref, error_ref),
    queued_at_ns = min(queued_at_ns, excluded.queued_at_ns),
    started_at_ns = min(started_at_ns, excluded.started_at_ns),
    ended_at_ns = coalesce(ended_at_ns, excluded.ended_at_ns)
    WHERE is_reported""",
)
_USAGE = "UPDATE executions SET usage_ref = ? WHERE execution_id = ? AND run_id = ?"
_NOTED = _insert("notes", "run_id seq execution_id note_ref at_ns", "(run_id, seq) DO NOTHING")
_SESSION_STARTED = _insert(
    "sessions",
    "session_id run_id seq target provider transport model voice modalities tools tags owner started_at_ns",
    "(session_id, run_id) DO NOTHING",
)
_SESSION_OF_RUN = "UPDATE runs SET session_id = ? WHERE run_id = ? AND session_id IS NULL"
_SESSION_ENDED = """
UPDATE sessions SET ended_at_ns = ?, close_reason = ?
WHERE session_id = ? AND run_id = ? AND ended_at_ns IS NULL
"""
_TURN_STARTED = _insert(
    "turns", "run_id turn_id seq session_id status started_at_ns", "(run_id, turn_id) DO NOTHING"
)
_TURN_ENDED = """
UPDATE turns SET status = ?, reason = ?, ended_at_ns = ?
WHERE run_id = ? AND turn_id = ? AND ended_at_ns IS NULL
"""
_RUN_ENDED = (
    "UPDATE runs SET status = ?, reason = ?, ended_at_ns = ? WHERE run_id = ? AND ended_at_ns IS NULL"
)


def _queued(db: Database, of: Envelope, record: records.ExecutionQueued) -> None:
    node_id, _, name = record.target.partition(".")
    # What runs in this process begins at once; a remote node has to be given it first.
    status, started_at_ns = ("queued", None) if record.remote else ("running", of.at_ns)
    db.execute(
        _QUEUED,
        (
            record.op_id, of.run_id, of.seq, node_id, name, record.capability, status,
            record.parent_execution_id, of.session_id, of.turn_id, record.actor_id, record.restart_of,
            int(record.remote), record.depth, record.time_max_ms, record.input_ref, record.context_ref,
            record.run_metadata_ref, record.webhook_ref, of.at_ns, started_at_ns,
        ),
    )  # fmt: skip


def _dispatched(
    db: Database, of: Envelope, record: records.ExecutionDispatchRequested | records.ExecutionStarted
) -> None:
    db.execute(_DISPATCHED, (record.attempt, of.at_ns, record.execution_id, of.run_id))


def _not_dispatched(db: Database, of: Envelope, record: records.ExecutionNotDispatched) -> None:
    db.execute(_NOT_DISPATCHED, (record.execution_id, of.run_id))


def _succeeded(db: Database, of: Envelope, record: records.ExecutionSucceeded) -> None:
    db.execute(
        _EXECUTION_ENDED, ("succeeded", None, record.result_ref, None, of.at_ns, record.op_id, of.run_id)
    )


def _failed(db: Database, of: Envelope, record: records.ExecutionFailed) -> None:
    status = "timeout" if record.reason is Reason.TIMEOUT else "failed"
    end = (status, record.reason, None, record.error_ref, of.at_ns, record.op_id, of.run_id)
    db.execute(_EXECUTION_ENDED, end)


def _cancelled(db: Database, of: Envelope, record: records.ExecutionCancelled) -> None:
    db.execute(_EXECUTION_ENDED, ("cancelled", None, None, None, of.at_ns, record.op_id, of.run_id))


def _reported(db: Database, of: Envelope, record: records.SubcallReported) -> None:
    node_id, _, name = record.target.partition(".")
    began_at_ns = of.at_ns - (record.duration_ms or 0) * 1_000_000
    ended_at_ns = None if record.status is records.ReportedStatus.RUNNING else of.at_ns
    db.execute(
        _REPORTED,
        (
            record.execution_id, of.run_id, of.seq, node_id, name, record.status, record.parent_execution_id,
            of.session_id, 1, record.input_ref, record.result_ref, record.error_ref,
            began_at_ns, began_at_ns, ended_at_ns,
        ),
    )  # fmt: skip


def _usage(db: Database, of: Envelope, record: records.ExecutionUsageReported) -> None:
    db.execute(_USAGE, (record.usage_ref, record.execution_id, of.run_id))


def _noted(db: Database, of: Envelope, record: records.ExecutionNoted) -> None:
    db.execute(_NOTED, (of.run_id, of.seq, record.execution_id, record.note_ref, of.at_ns))


def _session_started(db: Database, of: Envelope, record: records.SessionStarted) -> None:
    session_id = of.session_id or ""
    words = (json.dumps(some) for some in (record.modalities, record.tools, record.tags))
    pair = (record.provider, record.transport, record.model, record.voice)
    db.execute(
        _SESSION_STARTED,
        (session_id, of.run_id, of.seq, record.target, *pair, *words, record.owner, of.at_ns),
    )
    db.execute(_SESSION_OF_RUN, (session_id, of.run_id))


def _session_ended(db: Database, of: Envelope, record: records.SessionEnded) -> None:
    db.execute(_SESSION_ENDED, (of.at_ns, record.reason, of.session_id or "", of.run_id))


def _turn_started(db: Database, of: Envelope, record: records.TurnStarted) -> None:
    db.execute(_TURN_STARTED, (of.run_id, record.op_id, of.seq, of.session_id, "running", of.at_ns))


def _turn_completed(db: Database, of: Envelope, record: records.TurnCompleted) -> None:
    db.execute(_TURN_ENDED, ("succeeded", None, of.at_ns, of.run_id, record.op_id))


def _turn_failed(db: Database, of: Envelope, record: records.TurnFailed) -> None:
    db.execute(_TURN_ENDED, ("failed", record.reason, of.at_ns, of.run_id, record.op_id))


def _run_ended(db: Database, of: Envelope, record: Record) -> None:
    reason = record.reason if isinstance(record, records.RunFailed) else None
    db.execute(_RUN_ENDED, (SEALS[record.kind], reason, of.at_ns, of.run_id))


CHANGES: dict[str, Change] = {
    records.ExecutionQueued.kind: _queued,
    records.ExecutionDispatchRequested.kind: _dispatched,
    records.ExecutionStarted.kind: _dispatched,
    records.ExecutionNotDispatched.kind: _not_dispatched,
    records.ExecutionSucceeded.kind: _succeeded,
    records.ExecutionFailed.kind: _failed,
    records.ExecutionCancelled.kind: _cancelled,
    records.SubcallReported.kind: _reported,
    records.ExecutionUsageReported.kind: _usage,
    records.ExecutionNoted.kind: _noted,
    records.SessionStarted.kind: _session_started,
    records.SessionEnded.kind: _session_ended,
    records.TurnStarted.kind: _turn_started,
    records.TurnCompleted.kind: _turn_completed,
    records.TurnFailed.kind: _turn_failed,
    **dict.fromkeys(SEALS, _run_ended),
}
"""By kind; whatever is not in it changes nothing but how far a run is known."""
