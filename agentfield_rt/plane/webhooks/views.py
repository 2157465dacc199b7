"""A webhook's body, and what became of its tries, in AgentField's shapes."""

from collections.abc import Iterable
from typing import Any

import msgspec

from agentfield_journal.envelope import Envelope
from agentfield_rt.core import records
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.notation import iso
from agentfield_rt.run import decode

COMPLETED, FAILED = "execution.completed", "execution.failed"


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try to tell of an outcome: `delivered` or `failed`. Of all tries `delivery_id` is the same."""

    execution_id: str
    event_type: str
    status: str
    delivery_id: str
    created_at: str
    error_message: str | None = None


def event_type(execution: Execution) -> str:
    """What a webhook says has happened."""
    return COMPLETED if execution.status is ExecutionStatus.SUCCEEDED else FAILED


def webhook_body(execution: Execution) -> bytes:
    """What whoever registered is told. Every try has the same bytes."""
    body: dict[str, Any] = {
        "event": event_type(execution),
        "execution_id": execution.execution_id,
        "run_id": execution.workflow_id,
        "status": execution.status.value,
        "target": execution.target,
        "target_type": execution.kind.value,
        "duration_ms": execution.duration_ms,
        "timestamp": iso(execution.completed_at or execution.created_at),
    }
    if execution.status is ExecutionStatus.SUCCEEDED:
        body["result"] = msgspec.Raw(execution.result_json or b"null")
    else:
        reason = execution.reason.value if execution.reason is not None else execution.status.value
        body["error_message"] = execution.error or reason
    return msgspec.json.encode(body)


def webhook_events(execution: Execution, envelopes: Iterable[Envelope]) -> list[WebhookEvent]:
    """The tries that ended, from the records of a webhook's run, oldest first."""
    delivery_ids: dict[str, str] = {}
    events: list[WebhookEvent] = []
    for envelope in envelopes:
        match decode(envelope):
            case records.OutputDispatchRequested(op_id=op_id, dedupe_key=delivery_id):
                delivery_ids[op_id] = delivery_id
                continue
            case records.OutputDispatchCompleted(op_id=op_id):
                status, reason = "delivered", None
            case (
                records.OutputDispatchFailed(op_id=op_id, reason=why)
                | records.OutputDispatchReconciliationNeeded(op_id=op_id, reason=why)
            ):
                status, reason = "failed", why.value
            case _:
                continue
        event = WebhookEvent(
            execution_id=execution.execution_id,
            event_type=event_type(execution),
            status=status,
            delivery_id=delivery_ids.get(op_id, ""),
            created_at=iso(envelope.at_ns / 1e9),
            error_message=reason,
        )
        events.append(event)
    return events
