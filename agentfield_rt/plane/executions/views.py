"""Executions in AgentField's shapes, as JSON."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.notation import iso
from agentfield_rt.plane.webhooks import WebhookEvent

NULL = Raw(b"null")


def null() -> Raw:
    """A default: msgspec can say in no schema what stands in a `Raw`."""
    return NULL


class Accepted(msgspec.Struct, kw_only=True, gc=False):
    """The answer to work that was accepted."""

    execution_id: str
    run_id: str
    workflow_id: str
    status: str
    target: str
    type: str
    created_at: str
    enqueued_at: str
    webhook_registered: bool
    webhook_error: str | UnsetType = UNSET


class StatusView(msgspec.Struct, kw_only=True, gc=False):
    """Where an execution stands; of one that is over, what came of it."""

    execution_id: str
    run_id: str
    status: str
    started_at: str
    webhook_registered: bool
    status_reason: str | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: str | UnsetType = UNSET
    error_details: Raw | UnsetType = UNSET
    completed_at: str | UnsetType = UNSET
    duration_ms: int | UnsetType = UNSET
    webhook_events: list[WebhookEvent] | UnsetType = UNSET


class SyncView(msgspec.Struct, kw_only=True, gc=False):
    """What came of work that was waited for."""

    execution_id: str
    run_id: str
    status: str
    webhook_registered: bool
    result: Raw = msgspec.field(default_factory=null)
    error: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    error_details: Raw | UnsetType = UNSET
    finished_at: str | UnsetType = UNSET
    duration_ms: int | UnsetType = UNSET


class NotFoundView(msgspec.Struct, kw_only=True, gc=False):
    """An execution that nobody knows, among others that were asked for."""

    execution_id: str
    status: str = "not_found"
    error: str = "execution not found"


def accepted_view(execution: Execution) -> Accepted:
    """One that was accepted just now, or under the same key before."""
    created_at = iso(execution.created_at)
    return Accepted(
        execution_id=execution.execution_id,
        run_id=execution.workflow_id,
        workflow_id=execution.workflow_id,
        status=execution.status.value if execution.is_final else "queued",
        target=execution.target,
        type=execution.kind.value,
        created_at=created_at,
        enqueued_at=created_at,
        webhook_registered=execution.webhook_ref is not None,
    )


def accepted(execution: Execution) -> dict[str, Any]:
    """The same for routes that FastAPI serves."""
    view: dict[str, Any] = msgspec.to_builtins(accepted_view(execution))
    return view


def status_view(execution: Execution) -> StatusView:
    """One that is asked about, but for its webhook's tries."""
    view = StatusView(
        execution_id=execution.execution_id,
        run_id=execution.workflow_id,
        status=execution.standing,
        started_at=iso(execution.started_at or execution.created_at),
        webhook_registered=execution.webhook_ref is not None,
    )
    if execution.completed_at is not None:
        view.completed_at = iso(execution.completed_at)
        view.duration_ms = execution.duration_ms
        view.result = _result(execution)
    if execution.reason is not None:
        view.status_reason = execution.reason.value
        view.error = execution.error or execution.reason.value
        view.error_details = _error_details(execution)
    return view


def sync_view(execution: Execution) -> SyncView:
    """One that was waited for, whether or not it is over."""
    view = SyncView(
        execution_id=execution.execution_id,
        run_id=execution.workflow_id,
        status=execution.standing,
        webhook_registered=execution.webhook_ref is not None,
        result=_result(execution),
    )
    if execution.completed_at is not None:
        view.finished_at = iso(execution.completed_at)
        view.duration_ms = execution.duration_ms
    if execution.reason is not None:
        view.error = view.error_message = execution.error or execution.reason.value
        view.error_details = _error_details(execution)
    return view


def _result(execution: Execution) -> Raw:
    return NULL if execution.result_json is None else Raw(execution.result_json)


def _error_details(execution: Execution) -> Raw | UnsetType:
    return UNSET if execution.error_details_json is None else Raw(execution.error_details_json)
