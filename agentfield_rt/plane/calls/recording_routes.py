"""A call's recording, as the journal names it and the content store has it; also of an earlier server's."""

from collections.abc import AsyncGenerator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from agentfield_journal import ContentGone, ContentStore
from agentfield_rt.inspection import history
from agentfield_rt.plane.errors import Gone, NotFound
from agentfield_rt.plane.http.dependencies import Plane, Recorded
from agentfield_rt.recording import KeptRecording, RecordingStatus, recordings_of

_MEDIA_TYPES = {"ogg_opus": ("audio/ogg", "ogg")}

router = APIRouter(prefix="/api/v1", tags=["sessions"])


@router.get("/session-instances/{session_id}/recording", response_class=StreamingResponse)
async def recording(recorded: Recorded, plane: Plane) -> StreamingResponse:
    """Both sides of the call, the caller on the left. Of a call that goes on: what is kept by now.

    Where a piece is missing there is no answer. One that is erased while it is fetched breaks off: the
    connection ends before the body does, which no client takes for all of it.
    """
    session_id = recorded.session_id
    told = await history(plane.journal, recorded.run_id, session_id=session_id)
    recordings = recordings_of(told)
    kept = [each for each in recordings if each.refs]
    if not kept:
        raise NotFound(_why_none_is_kept(session_id, recordings))
    latest = kept[-1]
    try:
        for ref in latest.refs:
            await plane.content.get(ref)
    except ContentGone as error:
        raise Gone(f"the recording of session '{session_id}' was erased, or has expired") from error
    media_type, ending = _MEDIA_TYPES.get(latest.format, ("application/octet-stream", "bin"))
    return StreamingResponse(
        _file(latest, plane.content),
        media_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{latest.recording_id}.{ending}"',
            "X-Recording-Status": latest.status.value,
        },
    )


def _why_none_is_kept(session_id: str, recordings: list[KeptRecording]) -> str:
    if not recordings:
        why = "app.record(…) has calls recorded"
    elif recordings[-1].status is RecordingStatus.RECORDING:
        why = "it has begun, and what is heard is kept every ten seconds and at the end: ask again"
    else:
        why = "it ended before its first piece was kept; recording_failed in the journal says why"
    return f"no recording of session '{session_id}' is kept; {why}"


async def _file(kept: KeptRecording, content: ContentStore) -> AsyncGenerator[bytes]:
    """One piece in memory at a time."""
    for ref in kept.refs:
        yield await content.get(ref)
