"""What the journal says of a session, also of an earlier process: a picture, and whether it is whole."""

from typing import Any

from fastapi import APIRouter, Response

from agentfield_journal import verify
from agentfield_rt.plane.dependencies import Plane, Recorded
from agentfield_rt.timeline import timeline_svg

router = APIRouter(tags=["sessions"])


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
