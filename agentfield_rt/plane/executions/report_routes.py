"""What agents post about their work while it goes on, about ten times an execution: events, notes, logs.

In AgentField's shapes. None of it is trusted with what came of an execution.
"""

from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agentfield_rt.core.records import ReportedStatus
from agentfield_rt.plane.errors import BadRequest
from agentfield_rt.plane.executions.reports import Report
from agentfield_rt.plane.executions.status import ExecutionStatus, status_named
from agentfield_rt.plane.http.hot_routes import Answer, Asked, HotRoute
from agentfield_rt.plane.http.openapi import ErrorBody, Operation
from agentfield_rt.plane.http.workflow_headers import HEADERS, ID_PATTERN, execution_of, workflow_of

NOTE_CHARS_MAX = 16_000
TAGS_MAX = 32
ENTRIES_MAX = 1_000
"""Log entries that are taken at once."""

Id = Annotated[str, msgspec.Meta(pattern=f"^{ID_PATTERN}$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Tag = Annotated[str, msgspec.Meta(max_length=256)]


class CallBody(msgspec.Struct, kw_only=True):
    """A call within an agent's own process, and where it belongs."""

    execution_id: Id
    run_id: Id | None = None
    workflow_id: Id | None = None
    session_id: Id | None = None
    parent_execution_id: Id | None = None


class EventBody(CallBody, kw_only=True):
    """Where a call within an agent's own process stands, by its agent's word."""

    reasoner_id: Name
    status: Name
    agent_node_id: Name | None = None
    input_data: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    duration_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | float | None = None


class RegistrationBody(CallBody, kw_only=True):
    """A call within an agent's own process is about to begin."""

    reasoner_name: Name
    node_id: Name | None = None


class NoteBody(msgspec.Struct, kw_only=True):
    """A note; the execution it is about is in the headers."""

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_CHARS_MAX)]
    tags: Annotated[list[Tag], msgspec.Meta(max_length=TAGS_MAX)] | None = None
    agent_node_id: Name | None = None
    timestamp: float | str | None = None


class LogsBody(msgspec.Struct, kw_only=True):
    """Log entries, kept as they are."""

    entries: Annotated[list[Raw], msgspec.Meta(max_length=ENTRIES_MAX)] = []


class Taken(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Whether the call was unknown before."""

    success: bool
    created: bool = False
    updated: bool = False


class Registered(msgspec.Struct, kw_only=True):
    """Under which ids the call is known from now on: its own."""

    execution_id: str
    run_id: str
    workflow_id: str
    success: bool = True


class Noted(msgspec.Struct, kw_only=True):
    """The note as it is kept."""

    success: bool
    note: dict[str, Any]
    message: str


class Logged(msgspec.Struct, kw_only=True):
    """How many entries were kept."""

    success: bool
    accepted: int


_EVENT = msgspec.json.Decoder(EventBody)
_REGISTRATION = msgspec.json.Decoder(RegistrationBody)
_NOTE = msgspec.json.Decoder(NoteBody)
_LOGS = msgspec.json.Decoder(LogsBody)
_STATUSES = {
    ExecutionStatus.QUEUED: ReportedStatus.RUNNING,
    ExecutionStatus.RUNNING: ReportedStatus.RUNNING,
    ExecutionStatus.SUCCEEDED: ReportedStatus.SUCCEEDED,
    ExecutionStatus.CANCELLED: ReportedStatus.CANCELLED,
    ExecutionStatus.FAILED: ReportedStatus.FAILED,
    ExecutionStatus.TIMEOUT: ReportedStatus.FAILED,
}


async def event(asked: Asked) -> Answer:
    """A call within an agent's own process began or ended."""
    body = await asked.json(_EVENT)
    said = status_named(body.status)
    if said is None:
        raise BadRequest(f"status {body.status[:40]!r} is none of {', '.join(ExecutionStatus)}")
    began = _began(asked, body, f"{body.agent_node_id or 'unknown'}.{body.reasoner_id}")
    report = replace(
        began,
        status=_STATUSES[said],
        input=_json(body.input_data),
        result=_json(body.result),
        error=_words(body.error),
        duration_ms=None if body.duration_ms is None else max(int(body.duration_ms), 0),
    )
    created = await asked.plane.chronicle.reports.take(report)
    return Answer(Taken(success=True, created=created, updated=not created))


async def registration(asked: Asked) -> Answer:
    """A call within an agent's own process is about to begin."""
    body = await asked.json(_REGISTRATION)
    report = _began(asked, body, f"{body.node_id or 'unknown'}.{body.reasoner_name}")
    await asked.plane.chronicle.reports.take(report)
    run_id = report.run_id
    return Answer(Registered(execution_id=report.execution_id, run_id=run_id, workflow_id=run_id))


def _began(asked: Asked, body: CallBody, target: str) -> Report:
    """The report that a call has begun."""
    run_id = body.run_id or body.workflow_id or workflow_of(asked.headers).run_id
    if run_id is None:
        raise BadRequest("run_id is missing")
    return Report(
        execution_id=body.execution_id,
        run_id=run_id,
        target=target,
        status=ReportedStatus.RUNNING,
        parent_execution_id=body.parent_execution_id,
        # The SDK fills an empty one with the run's id.
        session_id=None if body.session_id == run_id else body.session_id,
    )


def _json(value: Raw | UnsetType) -> bytes | None:
    if isinstance(value, UnsetType):
        return None
    data = bytes(value)
    return None if data == b"null" else data


def _words(value: Raw | UnsetType) -> bytes | None:
    """What was said of a failure, as text; AgentField's SDK says it in one string."""
    data = _json(value)
    if data is None or not data.startswith(b'"'):
        return data
    return msgspec.json.decode(data, type=str).encode(errors="replace")


async def note(asked: Asked) -> Answer:
    """An agent notes something about the execution in `X-Execution-ID`."""
    body = await asked.json(_NOTE)
    execution_id = execution_of(asked.headers)
    if execution_id is None:
        raise BadRequest("X-Execution-ID header is required")
    kept: dict[str, Any] = {"message": body.message, "tags": body.tags or []}
    await asked.plane.chronicle.reports.note(execution_id, kept, run_id=workflow_of(asked.headers).run_id)
    return Answer(Noted(success=True, note=kept, message="Note added successfully"))


async def logs(asked: Asked) -> Answer:
    """An agent hands its log lines of an execution over."""
    body = await asked.json(_LOGS)
    kept = asked.plane.chronicle.logs.add(asked.parameter("execution_id"), map(bytes, body.entries))
    return Answer(Logged(success=True, accepted=kept))


_REFUSALS: dict[int, Any] = {400: ErrorBody, 413: ErrorBody, 503: ErrorBody}
_OF_EXECUTION = HEADERS | {"X-Execution-ID": "The execution that the note is about."}

EVENT = Operation(
    method="POST",
    path="/api/v1/workflow/executions/events",
    tag="workflows",
    summary="A call within an agent's own process began or ended.",
    body=EventBody,
    answers={200: Taken, **_REFUSALS, 410: ErrorBody},
)
REGISTRATION = Operation(
    method="POST",
    path="/api/v1/workflow/executions",
    tag="workflows",
    summary="A call within an agent's own process is about to begin.",
    body=RegistrationBody,
    answers={200: Registered, **_REFUSALS, 410: ErrorBody},
)
NOTE = Operation(
    method="POST",
    path="/api/v1/executions/note",
    tag="executions",
    summary="An agent notes something about an execution; durable when this answers.",
    body=NoteBody,
    answers={200: Noted, **_REFUSALS, 404: ErrorBody, 410: ErrorBody},
    headers=_OF_EXECUTION,
    required=frozenset({"X-Execution-ID"}),
)
LOGS = Operation(
    method="POST",
    path="/api/v1/executions/{execution_id}/logs",
    tag="executions",
    summary="An agent hands its log lines of an execution over; the last are kept in memory.",
    body=LogsBody,
    answers={200: Logged, **_REFUSALS},
)

HOT = (
    HotRoute(LOGS, logs),
    HotRoute(EVENT, event),
    HotRoute(NOTE, note),
    HotRoute(REGISTRATION, registration),
)
"""The most used first."""
