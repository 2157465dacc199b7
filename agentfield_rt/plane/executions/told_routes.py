"""What agents told of executions, read again: notes and log lines; and executions followed live."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response
from sse_starlette import ServerSentEvent

from agentfield_rt.plane.catalogue.rows import ExecutionRow
from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.executions.feed import Event
from agentfield_rt.plane.executions.logs import ENTRIES_MAX
from agentfield_rt.plane.http.dependencies import ID_CHARS_MAX, Plane
from agentfield_rt.plane.http.event_stream import EventStream

HEARTBEAT_S = 30
SEND_MAX_S = 30
"""A reader that takes nothing for so long has gone."""

router = APIRouter(tags=["executions"])

Id = Annotated[str, Path(max_length=2 * ID_CHARS_MAX)]
LastEventId = Annotated[str | None, Header(max_length=64)]


async def _row(plane: Plane, execution_id: str) -> ExecutionRow:
    row = await plane.catalogue.execution(execution_id)
    if row is None:
        raise NotFound("execution not found")
    return row


@router.get("/api/v1/executions/{execution_id}/notes")
async def notes(
    execution_id: Id, plane: Plane, tags: Annotated[str, Query(max_length=1_024)] = ""
) -> dict[str, Any]:
    """What its agent noted about an execution, in order; with `tags=a,b`, only what has one of these."""
    rows = await plane.catalogue.notes_of(execution_id)
    if not rows:
        await _row(plane, execution_id)
    wanted = {tag.strip() for tag in tags.split(",") if tag.strip()}
    found = [await plane.chronicle.workflows.note(row) for row in rows]
    shown = [note for note in found if not wanted or wanted.intersection(note["tags"])]
    return {"execution_id": execution_id, "notes": shown, "total": len(shown)}


@router.get("/api/v1/executions/{execution_id}/logs", response_model=dict[str, Any])
async def logs(
    execution_id: Id,
    plane: Plane,
    tail_lines: Annotated[int, Query(ge=1, le=ENTRIES_MAX)] = ENTRIES_MAX,
) -> Response:
    """The last log lines that this process was handed; `dropped` were too many or too large."""
    log = plane.chronicle.logs.of(execution_id)
    if not log.entries:
        await _row(plane, execution_id)
    entries = [msgspec.Raw(entry) for entry in log.entries][-tail_lines:]
    answer = {"execution_id": execution_id, "entries": entries, "total": len(entries), "dropped": log.dropped}
    return Response(msgspec.json.encode(answer), media_type="application/json")


@router.get("/api/ui/v1/executions/events", response_class=EventStream)
async def all_events(plane: Plane, last_event_id: LastEventId = None) -> EventStream:
    """Server-sent events of all executions; `Last-Event-ID` reaches as far back as is remembered."""
    after = _number(last_event_id)
    events = plane.chronicle.feed.follow(after=after)
    return _stream(_sent(events, by_number=True))


@router.get("/api/v1/executions/{execution_id}/events", response_class=EventStream)
async def events_of(execution_id: Id, plane: Plane, last_event_id: LastEventId = None) -> EventStream:
    """Server-sent events of one execution, from its beginning or from `Last-Event-ID`, to its end."""
    row = await _row(plane, execution_id)
    return _stream(_sent(plane.chronicle.feed.follow_one(row, after=_number(last_event_id) or 0)))


def _number(last_event_id: str | None) -> int | None:
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


async def _sent(events: AsyncGenerator[Event], *, by_number: bool = False) -> AsyncGenerator[ServerSentEvent]:
    try:
        async for event in events:
            number = event.number if by_number else event.seq
            yield ServerSentEvent(id=str(number), data=msgspec.json.encode(event.body).decode())
    finally:
        await events.aclose()


def _stream(events: AsyncGenerator[ServerSentEvent]) -> EventStream:
    return EventStream(events, ping=HEARTBEAT_S, ping_message_factory=_heartbeat, send_timeout=SEND_MAX_S)


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(data='{"type":"heartbeat"}')
