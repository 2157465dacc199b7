"""Changes of memory as they happen, over a websocket or as server-sent events, and those that were."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, WebSocket, WebSocketDisconnect
from sse_starlette import ServerSentEvent

from agentfield_rt.memory import KEY_CHARS_MAX, PATTERNS_MAX, Interest, MemoryAccessError, Scope, TooSlow
from agentfield_rt.plane.http.dependencies import ID_CHARS_MAX, Plane
from agentfield_rt.plane.http.event_stream import EventStream
from agentfield_rt.plane.http.guards import is_same_origin
from agentfield_rt.plane.memory.feed import REMEMBERED_MAX, Feed, Reader, check_interest
from agentfield_rt.plane.memory.memory import Memory

router = APIRouter(prefix="/api/v1/memory/events", tags=["memory"])

SEND_MAX_S = 10.0
"""A reader that takes nothing for so long has gone."""

REASON_BYTES_MAX = 123
"""Of a close frame (RFC 6455, 5.5)."""

READERS_FAULT = 4400
TOO_SLOW = 4408
TRY_LATER = 1013

ScopeOrAll = Annotated[Scope | None, Query()]
ScopeId = Annotated[str | None, Query(max_length=ID_CHARS_MAX)]


def an_interest(
    patterns: Annotated[str, Query(max_length=PATTERNS_MAX * (KEY_CHARS_MAX + 1))] = "",
    scope: ScopeOrAll = None,
    scope_id: ScopeId = None,
) -> Interest:
    """What a query asks for; `patterns` are divided by commas, and none means all."""
    return Interest(
        patterns=tuple(pattern for pattern in patterns.split(",") if pattern),
        scope=scope,
        scope_id=scope_id or None,
    )


Interested = Annotated[Interest, Depends(an_interest)]


@router.websocket("/ws")
async def watch_over_websocket(websocket: WebSocket, interest: Interested) -> None:
    """One JSON text per change. A reader that is too slow is told so: close code 4408."""
    if not is_same_origin(websocket.headers):
        await websocket.close()  # before it is accepted: the browser is told 403
        return
    memory: Memory = websocket.app.state.plane.memory
    await websocket.accept()
    try:
        async with memory.feed.reading(interest) as reader:
            await _until_either_ends(_send(websocket, reader), _wait_for_end(websocket))
    except TooSlow as error:
        await _close(websocket, TOO_SLOW, str(error))
    except MemoryAccessError as error:
        has_room = memory.feed.has_room
        await _close(websocket, READERS_FAULT if has_room else TRY_LATER, str(error))


async def _send(websocket: WebSocket, reader: Reader) -> None:
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):  # it has gone, or is as good as gone
        while True:
            for change in await reader.take():
                async with asyncio.timeout(SEND_MAX_S):
                    await websocket.send_text(change.text.decode())


async def _wait_for_end(websocket: WebSocket) -> None:
    """A reader has nothing to say; what it says is not kept."""
    with suppress(RuntimeError):
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass


async def _until_either_ends(*ends: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(end, name="memory reader") for end in ends]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(SEND_MAX_S):
            await websocket.close(code, reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore"))


@router.get("/sse", response_class=EventStream)
async def watch_as_events(plane: Plane, interest: Interested) -> EventStream:
    """The same as server-sent events. `missed` says that some came faster than they were read."""
    check_interest(interest)
    return EventStream(
        _events(plane.memory.feed, interest), send_timeout=SEND_MAX_S, headers={"Cache-Control": "no-store"}
    )


async def _events(feed: Feed, interest: Interest) -> AsyncGenerator[ServerSentEvent]:
    async with feed.reading(interest) as reader:
        yield ServerSentEvent(event="ready", data="{}")
        while True:
            try:
                for change in await reader.take():
                    yield ServerSentEvent(data=change.text.decode())
            except TooSlow as error:
                yield ServerSentEvent(event="missed", data=str(error.missed))


@router.get("/history")
async def history(
    plane: Plane,
    interest: Interested,
    *,
    since: Annotated[str | None, Query(max_length=64, json_schema_extra={"format": "date-time"})] = None,
    limit: Annotated[int, Query(ge=1, le=REMEMBERED_MAX)] = 100,
) -> Response:
    """The latest changes, oldest first, as a bare array: as far as this server remembers."""
    found = await plane.memory.published(interest, since=since, limit=limit)
    return Response(b"[" + b",".join(change.text for change in found) + b"]", media_type="application/json")
