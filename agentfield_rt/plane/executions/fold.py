"""What a run's journal tells of the executions in it: a fold over its records. Calls nobody."""

from collections.abc import Iterable
from typing import Any

from agentfield_journal.envelope import Envelope
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.plane.executions.dispatch import CapabilityKind
from agentfield_rt.plane.executions.execution import Execution, already_durable
from agentfield_rt.plane.executions.status import ExecutionStatus, final_status
from agentfield_rt.run import decode

_KINDS = frozenset(
    {
        records.ExecutionQueued.kind,
        records.ExecutionDispatchRequested.kind,
        records.ExecutionStarted.kind,
        records.ExecutionNotDispatched.kind,
        records.ExecutionPaused.kind,
        records.ExecutionResumed.kind,
        records.ExecutionSucceeded.kind,
        records.ExecutionFailed.kind,
        records.ExecutionCancelled.kind,
    }
)


def fold_executions(envelopes: Iterable[Envelope]) -> dict[str, Execution]:
    """The executions of a run as its records leave them, by id, in the order they were accepted.

    Raises:
        ReplayMismatch: a record is not what its kind says.
    """
    found: dict[str, Execution] = {}
    for envelope in envelopes:
        if envelope.kind not in _KINDS:
            continue
        at, record = envelope.at_ns / 1e9, decode(envelope)
        if isinstance(record, records.ExecutionQueued):
            found[record.op_id] = _queued(envelope, record, at)
        elif (execution := found.get(_id_in(record))) is not None and not execution.is_final:
            _take(execution, record, at)
    return found


def _id_in(record: Any) -> str:
    """Progress names its execution, an end the operation that it closes."""
    execution_id: str = getattr(record, "execution_id", None) or record.op_id
    return execution_id


def _take(execution: Execution, record: Record, at: float) -> None:
    match record:
        case records.ExecutionDispatchRequested(attempt=attempt):
            execution.attempts, execution.in_doubt = attempt, True
            execution.status = ExecutionStatus.RUNNING
            execution.started_at = execution.started_at or at
        case records.ExecutionNotDispatched():
            execution.in_doubt, execution.status = False, ExecutionStatus.QUEUED
        case records.ExecutionStarted():
            execution.in_doubt, execution.accepted = False, True
        case records.ExecutionPaused() | records.ExecutionResumed():
            execution.pause(record, at=at)
        case records.ExecutionSucceeded(result_ref=ref):
            execution.result_ref = ref
            _end(execution, record, None, at)
        case records.ExecutionFailed(reason=reason, error_ref=ref, error_details_ref=details_ref):
            execution.error_ref, execution.error_details_ref = ref, details_ref
            _end(execution, record, reason, at)
        case records.ExecutionCancelled():
            _end(execution, record, Reason.CANCELLED, at)
        case _:
            pass


def _queued(envelope: Envelope, record: records.ExecutionQueued, at: float) -> Execution:
    return Execution(
        execution_id=record.op_id,
        run_id=envelope.run_id,
        target=record.target,
        kind=CapabilityKind(record.capability),
        created_at=at,
        input_ref=record.input_ref,
        depth=record.depth,
        remote=record.remote,
        time_max_s=record.time_max_ms / 1000,
        session_id=envelope.session_id,
        turn_id=envelope.turn_id,
        actor_id=record.actor_id,
        parent_execution_id=record.parent_execution_id,
        webhook_ref=record.webhook_ref,
        status=ExecutionStatus.QUEUED if record.remote else ExecutionStatus.RUNNING,
    )


def _end(execution: Execution, record: Record, reason: Reason | None, at: float) -> None:
    status = final_status(record)
    if status is not None:
        execution.end(status, reason, at=at)
        execution.durable = already_durable
