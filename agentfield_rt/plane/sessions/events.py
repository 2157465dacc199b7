"""A session's events for one reader: records as they become durable, live events in between."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from sse_starlette import ServerSentEvent

from agentfield_journal.envelope import Envelope
from agentfield_rt.core.records import SessionEnded
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.sessions.record_views import record_view
from agentfield_rt.voice.live import LiveEvent
from agentfield_rt.voice.session import VoiceSession

log = logging.getLogger(__name__)

if (_sending := logging.getLogger("sse_starlette")).level == logging.NOTSET:
    _sending.setLevel(logging.INFO)  # at DEBUG it logs what it sends, that is what was said

WAITING_MAX = 64
"""Events prepared ahead of a reader; the journal waits, live events are dropped by their feed."""

_Item = Envelope | LiveEvent | None
"""None: no record follows, so the reader may come back and ask for the rest."""


async def session_events(
    plane: ControlPlane, session: VoiceSession, *, after: int, presence: bool
) -> AsyncGenerator[ServerSentEvent]:
    """Everything from `after` on, until the session is over."""
    if session.has_ended and not await _end_follows(plane, session, after):
        yield _end()
        return
    queue: asyncio.Queue[_Item] = asyncio.Queue(WAITING_MAX)
    async with AsyncExitStack() as stack:
        if presence:
            await stack.enter_async_context(plane.sessions.presence(session))
        # No task group: a reader that leaves closes this generator from whichever task finds it.
        feeds = [
            asyncio.create_task(_records(plane, session.run_id, after, queue=queue)),
            asyncio.create_task(_live(session, queue)),
        ]
        stack.push_async_callback(_stop, feeds)
        async for event in _render(plane, queue):
            yield event


async def past_events(plane: ControlPlane, run_id: str, *, after: int) -> AsyncGenerator[ServerSentEvent]:
    """What the journal has from `after` on, of a session that is over."""
    while envelopes := await plane.journal.read(run_id, after=after, limit=WAITING_MAX):
        for envelope in envelopes:
            yield await _record_event(plane, envelope)
        after = envelopes[-1].seq
    yield _end()


async def _stop(feeds: list[asyncio.Task[None]]) -> None:
    for feed in feeds:
        feed.cancel()
    await asyncio.wait(feeds)


async def _records(plane: ControlPlane, run_id: str, after: int, *, queue: asyncio.Queue[_Item]) -> None:
    try:
        async for envelope in plane.journal.subscribe(run_id, after=after):
            await queue.put(envelope)
    except Exception as error:  # the boundary of a task: a reader must not wait for ever
        log.error("the events of %s broke off: %s", run_id, type(error).__name__)
    await queue.put(None)


async def _live(session: VoiceSession, queue: asyncio.Queue[_Item]) -> None:
    async for event in session.live.subscribe():
        await queue.put(event)


async def _render(plane: ControlPlane, queue: asyncio.Queue[_Item]) -> AsyncIterator[ServerSentEvent]:
    while (item := await queue.get()) is not None:
        if not isinstance(item, Envelope):
            yield ServerSentEvent(event="live", data=_json(item))
            continue
        yield await _record_event(plane, item)
        if item.kind == SessionEnded.kind:
            yield _end()
            return


async def _record_event(plane: ControlPlane, envelope: Envelope) -> ServerSentEvent:
    view = await record_view(envelope, plane.content)
    return ServerSentEvent(event="record", id=str(envelope.seq), data=_json(view))


async def _end_follows(plane: ControlPlane, session: VoiceSession, after: int) -> bool:
    rest = await plane.journal.read(session.run_id, after=after)
    return any(envelope.kind == SessionEnded.kind for envelope in rest)


def _end() -> ServerSentEvent:
    return ServerSentEvent(event="end", data="{}")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
