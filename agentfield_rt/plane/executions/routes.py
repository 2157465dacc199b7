"""Submitting work, asking where it stands, reporting what came of it: what agents call all the time.

In AgentField's shapes. Cancelling and restarting are in `control_routes`, whatever else agents tell in
`report_routes`.
"""

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Raw

from agentfield_rt.errors import Reason
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.errors import BadRequest, NotFound
from agentfield_rt.plane.executions.dispatch import Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.status import FINAL_STATUSES, STATUS_WORDS, ExecutionStatus, status_named
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.plane.executions.views import (
    NULL,
    Accepted,
    NotFoundView,
    StatusView,
    SyncView,
    accepted_view,
    null,
    status_view,
    sync_view,
)
from agentfield_rt.plane.http.hot_routes import Answer, Asked, HotRoute
from agentfield_rt.plane.http.openapi import ErrorBody, Operation
from agentfield_rt.plane.http.workflow_headers import HEADERS, workflow_of
from agentfield_rt.plane.webhooks import check_registration
from agentfield_rt.plane.webhooks.registration import HEADER_CHARS_MAX, HEADERS_MAX, SECRET_CHARS_MAX
from agentfield_rt.voice.link import ExecutionRequest

SYNC_MAX_S = 90.0
"""How long a caller is kept waiting who wants the result at once; then the execution goes on without them."""

BATCH_MAX = 500


_HEADERS = {"maxProperties": HEADERS_MAX, "propertyNames": {"pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"}}
_HEADER = {"pattern": "^[\\t\\x20-\\x7e\\x80-\\xff]*$", "maxLength": HEADER_CHARS_MAX}


class WebhookBody(msgspec.Struct, kw_only=True):
    """Whom to tell of the outcome."""

    url: str
    secret: Annotated[str, msgspec.Meta(extra_json_schema={"maxLength": SECRET_CHARS_MAX})] | None = None
    headers: (
        Annotated[
            dict[str, Annotated[str, msgspec.Meta(extra_json_schema=_HEADER)]],
            msgspec.Meta(extra_json_schema=_HEADERS),
        ]
        | None
    ) = None


class ExecuteBody(msgspec.Struct, kw_only=True):
    """Work to be done; `input` is what the reasoner or skill is given."""

    input: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    run_metadata: dict[str, Any] | None = None
    webhook: WebhookBody | None = None


class ReportBody(msgspec.Struct, kw_only=True):
    """What came of an execution, by its agent's word. `result` is any JSON."""

    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": STATUS_WORDS})]
    result: Raw = msgspec.field(default_factory=null)
    error: Any = None
    error_details: Raw = msgspec.field(default_factory=null)
    error_status_code: Any = None
    status_reason: str | None = None
    usage: Any = None


class Reported(msgspec.Struct, kw_only=True, gc=False):
    """It was taken."""

    execution_id: str
    status: str
    success: bool = True


class BatchBody(msgspec.Struct, kw_only=True):
    """Executions to ask about at once, at most 500."""

    execution_ids: list[str]


_EXECUTE = msgspec.json.Decoder(ExecuteBody)
_REPORT = msgspec.json.Decoder(ReportBody)
_BATCH = msgspec.json.Decoder(BatchBody)


async def _submit(asked: Asked) -> Execution:
    workflow = workflow_of(asked.headers)
    body = await asked.json(_EXECUTE)
    webhook = None if body.webhook is None else msgspec.to_builtins(body.webhook)
    if webhook is not None:
        await check_registration(webhook, asked.plane.egress.policy)
    request = ExecutionRequest(
        target=asked.parameter("target"),
        arguments=body.input or {},
        run_id=workflow.run_id,
        session_id=workflow.session_id,
        parent_execution_id=workflow.parent_execution_id,
    )
    extras = Extras(
        actor_id=workflow.actor_id,
        idempotency_key=workflow.idempotency_key,
        context=body.context,
        run_metadata=body.run_metadata,
        webhook=webhook,
    )
    return await asked.plane.executions.submit(request, extras=extras)


def _ids(execution: Execution) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-execution-id", execution.execution_id.encode()),
        (b"x-run-id", execution.workflow_id.encode()),
    )


async def execute_async(asked: Asked) -> Answer:
    """Accept an execution; it is durable when this answers."""
    execution = await _submit(asked)
    return Answer(accepted_view(execution), 202, _ids(execution))


async def execute(asked: Asked) -> Answer:
    """Accept an execution and wait for what comes of it."""
    execution = await _submit(asked)
    try:
        async with asyncio.timeout(SYNC_MAX_S):
            await execution.finished.wait()
    except TimeoutError:
        view = sync_view(execution)
        view.error = view.error_message = (
            f"it has not ended within {SYNC_MAX_S:.0f} s and goes on; ask for its status"
        )
        return Answer(view, 504, _ids(execution))
    await execution.told()
    return Answer(sync_view(execution), _sync_status(execution), _ids(execution))


def _sync_status(execution: Execution) -> int:
    """A failure has the status that its agent gives it: the caller may be at fault."""
    return execution.error_status or _SYNC_STATUS.get(execution.status, 502)


_SYNC_STATUS = {
    ExecutionStatus.SUCCEEDED: 200,
    ExecutionStatus.CANCELLED: 409,
    ExecutionStatus.TIMEOUT: 504,
}


async def _view(plane: ControlPlane, execution_id: str) -> StatusView:
    executions = plane.executions
    execution = executions.in_memory(execution_id) or await executions.get(execution_id)
    await execution.told()
    view = status_view(execution)
    if execution.webhook_ref is not None and execution.is_final:
        view.webhook_events = await plane.webhooks.events(execution)
    return view


async def status(asked: Asked) -> Answer:
    """Where an execution stands, and its result; that it is over is durable when this answers."""
    return Answer(await _view(asked.plane, asked.parameter("execution_id")))


async def batch_status(asked: Asked) -> Answer:
    """Where several executions stand, by id."""
    wanted = (await asked.json(_BATCH)).execution_ids
    if len(wanted) > BATCH_MAX:
        raise BadRequest(f"at most {BATCH_MAX} executions are looked up at once, not {len(wanted)}")
    views: dict[str, StatusView | NotFoundView] = {}
    for execution_id in wanted:
        try:
            views[execution_id] = await _view(asked.plane, execution_id)
        except NotFound:
            views[execution_id] = NotFoundView(execution_id=execution_id)
    return Answer(views)


async def report(asked: Asked) -> Answer:
    """An agent says what came of an execution; it is durable when this answers."""
    execution_id = asked.parameter("execution_id")
    body = await asked.json(_REPORT)
    said = status_named(body.status)
    if said is None:
        words = ", ".join(ExecutionStatus)
        raise BadRequest(f"status {body.status[:40]!r} is none of {words}")
    executions = asked.plane.executions
    if said not in FINAL_STATUSES:
        execution = await executions.get(execution_id)
        executions.began(execution_id)
        return Answer(Reported(execution_id=execution_id, status=execution.status.value))
    execution = await executions.report(execution_id, _outcome(said, body))
    return Answer(Reported(execution_id=execution_id, status=execution.status.value))


def _outcome(said: ExecutionStatus, body: ReportBody) -> Outcome:
    if said is ExecutionStatus.SUCCEEDED:
        return Outcome(status=said, result=body.result, usage=body.usage)
    error = body.error if body.error is not None else body.status_reason
    if error is not None and not isinstance(error, str):
        error = msgspec.json.encode(error).decode()
    reason = {ExecutionStatus.CANCELLED: Reason.CANCELLED, ExecutionStatus.TIMEOUT: Reason.TIMEOUT}
    return Outcome(
        status=said,
        error=error,
        error_details=None if body.error_details == NULL else body.error_details,
        error_status=_error_status(body.error_status_code) if said is ExecutionStatus.FAILED else None,
        reason=reason.get(said, Reason.HANDLER_ERROR),
        usage=body.usage,
    )


def _error_status(said: Any) -> int | None:
    """What is none is passed over: a report that is refused would leave its execution open."""
    return said if type(said) is int and 400 <= said < 600 else None


_REFUSALS: dict[int, Any] = {400: ErrorBody, 404: ErrorBody, 409: ErrorBody, 413: ErrorBody, 503: ErrorBody}

EXECUTE_ASYNC = Operation(
    method="POST",
    path="/api/v1/execute/async/{target}",
    tag="executions",
    summary="Accept an execution; it is durable when this answers.",
    body=ExecuteBody,
    answers={202: Accepted, **_REFUSALS},
    headers=HEADERS,
)
EXECUTE = Operation(
    method="POST",
    path="/api/v1/execute/{target}",
    tag="executions",
    summary="Accept an execution and wait for what comes of it, at most 90 s.",
    body=ExecuteBody,
    answers={200: SyncView, **_REFUSALS, 502: SyncView, 504: SyncView},
    headers=HEADERS,
)
STATUS = Operation(
    method="GET",
    path="/api/v1/executions/{execution_id}",
    tag="executions",
    summary="Where an execution stands, and its result.",
    answers={200: StatusView, 404: ErrorBody, 503: ErrorBody},
)
REPORT = Operation(
    method="POST",
    path="/api/v1/executions/{execution_id}/status",
    tag="executions",
    summary="What came of an execution, by its agent's word.",
    body=ReportBody,
    answers={200: Reported, **_REFUSALS},
)
BATCH_STATUS = Operation(
    method="POST",
    path="/api/v1/executions/batch-status",
    tag="executions",
    summary="Where several executions stand.",
    body=BatchBody,
    answers={200: dict[str, StatusView | NotFoundView], 400: ErrorBody, 413: ErrorBody, 503: ErrorBody},
)

HOT = (
    HotRoute(STATUS, status),
    HotRoute(EXECUTE_ASYNC, execute_async),
    HotRoute(REPORT, report),
    HotRoute(BATCH_STATUS, batch_status),
    HotRoute(EXECUTE, execute),
)
"""The most used first."""
