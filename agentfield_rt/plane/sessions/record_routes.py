"""What the journal says of a session, also of an earlier process: a picture, and whether it is whole."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from agentfield_journal import ContentStore, StoreJournal, verify
from agentfield_rt.plane.http.dependencies import CURSOR_MAX, Plane, Recorded
from agentfield_rt.plane.sessions.record_views import record_view
from agentfield_rt.timeline import timeline_svg

_PAGE_RECORDS = 200

router = APIRouter(prefix="/api/v1", tags=["sessions"])


@router.get("/session-instances/{session_id}/timeline.svg", response_class=Response)
async def timeline(recorded: Recorded, plane: Plane) -> Response:
    """A picture of the call, drawn from the journal."""
    svg = timeline_svg(await plane.journal.read(recorded.run_id))
    own_style_only = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(svg, media_type="image/svg+xml", headers=own_style_only)


@router.get("/session-instances/{session_id}/verify")
async def verify_run(recorded: Recorded, plane: Plane) -> dict[str, Any]:
    """Check the run's chain now."""
    report = await verify(plane.journal, run_id=recorded.run_id)
    last = await plane.journal.read(recorded.run_id, after=max(report.records - 1, 0))
    return {
        "ok": report.sound,
        "records": report.records,
        "head": last[-1].hash.hex() if last else None,
        "findings": [str(finding) for finding in report.findings],
    }


@router.get("/session-instances/{session_id}/replay", response_class=StreamingResponse)
async def replay(
    recorded: Recorded,
    plane: Plane,
    after: Annotated[int, Query(ge=0, le=CURSOR_MAX)] = 0,
    content: bool = True,
) -> StreamingResponse:
    """All records of the session's run as JSON lines; `content=false` leaves references as they are."""
    lines = _lines(plane.journal, recorded.run_id, after=after, content=plane.content if content else None)
    return StreamingResponse(lines, media_type="application/x-ndjson")


async def _lines(
    journal: StoreJournal, run_id: str, *, after: int, content: ContentStore | None
) -> AsyncGenerator[bytes]:
    while page := await journal.read(run_id, after=after, limit=_PAGE_RECORDS):
        for envelope in page:
            view = await record_view(envelope, content)
            yield msgspec.json.encode(view | {"hash": envelope.hash.hex()}) + b"\n"
        after = page[-1].seq
