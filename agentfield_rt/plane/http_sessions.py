"""Session routes. Both of AgentField's route families end in the same functions."""

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from sse_starlette import EventSourceResponse

from agentfield_journal import verify
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import ImageDetail, image_type
from agentfield_rt.plane.dependencies import Plane
from agentfield_rt.plane.errors import Busy
from agentfield_rt.plane.events import session_events
from agentfield_rt.plane.http_executions import accepted
from agentfield_rt.plane.ice import for_browser, ice_settings
from agentfield_rt.plane.media import carry_media
from agentfield_rt.plane.notation import iso
from agentfield_rt.plane.sessions import StartRequest
from agentfield_rt.timeline import timeline_svg
from agentfield_rt.voice.session import VoiceSession

TEXT_CHARS_MAX = 4_000
READERS_MAX = 64
"""Event streams of one session at once."""
WORD_CHARS_MAX = 128

Word = Annotated[str, Field(max_length=WORD_CHARS_MAX)]
"""A name of something; it is journaled, so it is bounded."""
CURSOR_MAX = 2**63 - 1  # a journal's sequence numbers are 64 bit

router = APIRouter(tags=["sessions"])


class StartBody(BaseModel):
    """Empty strings count as left out, as in AgentField."""

    model_config = ConfigDict(extra="ignore")

    provider: Word | None = None
    transport: Word | None = None
    model: Word | None = None
    voice: Word | None = None
    metadata: dict[str, Any] | None = None


class ImageBody(BaseModel):
    """A picture; how large it may be, the bound of every body says."""

    model_config = ConfigDict(extra="forbid")

    data: Base64Bytes
    detail: ImageDetail | None = None

    @field_validator("data")
    @classmethod
    def _is_a_picture(cls, data: bytes) -> bytes:
        if image_type(data) is None:
            raise ValueError("a picture is a PNG or JPEG file, in base64")
        return data


class InputBody(BaseModel):
    """What the user gives besides speech; at least one of it."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(default=None, min_length=1, max_length=TEXT_CHARS_MAX)
    image: ImageBody | None = None
    end_turn: bool = False

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.text is None and self.image is None and not self.end_turn:
            raise ValueError("give text, an image, or end_turn")
        return self


class ToolBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    target: str | None = None
    input: dict[str, Any] = Field(default_factory=dict[str, Any])


class CloseBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    reason: Literal[CloseReason.NORMAL, CloseReason.CALLER_GONE, CloseReason.CANCEL] = CloseReason.NORMAL


@router.get("/session-targets")
async def list_targets(plane: Plane) -> dict[str, Any]:
    """Every session that can be started here."""
    return {
        "targets": [
            {
                "target": f"{node.node_id}.{definition.name}",
                "provider": definition.provider,
                "transport": definition.transport,
                "modalities": definition.config.modalities,
                "tools": definition.tools,
                "tags": definition.tags,
                "recorded": definition.recorded,
                "metadata": definition.metadata,
            }
            for node in plane.nodes
            for definition in node.sessions.values()
        ]
    }


@router.post("/session-targets/{target}/start", status_code=201)
@router.post("/sessions/{target}/start", status_code=201, include_in_schema=False)
async def start(target: str, request: Request, plane: Plane) -> dict[str, Any]:
    """Start a session. The body is optional; one that is no JSON object is ignored, as in AgentField."""
    try:
        body = StartBody.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        if error.errors()[0]["loc"]:  # an object with a member that cannot be meant
            raise RequestValidationError(error.errors()) from error
        body = StartBody()
    wish = StartRequest(
        provider=body.provider or None,
        transport=body.transport or None,
        model=body.model or None,
        voice=body.voice or None,
        metadata=body.metadata,
    )
    session = await plane.sessions.start(target, wish)
    ice = ice_settings(plane.settings, user=session.session_id)
    return _started(session, mounted_at=request.scope["root_path"]) | for_browser(ice)


def _started(session: VoiceSession, *, mounted_at: str) -> dict[str, Any]:
    """The 201 body. Its addresses hold wherever a host application has put the plane."""
    spec, base = session.spec, f"{mounted_at}/api/v1/session-instances/{session.session_id}"
    query = {
        "model": spec.config.model or "",
        "provider": spec.provider,
        "target": spec.target,
        "transport": spec.transport,
        "voice": spec.config.voice or "",
    }
    return {
        "session_id": session.session_id,
        "run_id": session.run_id,
        "target": spec.target,
        "provider": spec.provider,
        "transport": spec.transport,
        "model": spec.config.model,
        "voice": spec.config.voice,
        "modalities": spec.config.modalities,
        "tags": spec.tags,
        "turn_detection": spec.config.turn_detection,
        "tool_targets": spec.tools,
        "recorded": spec.recorded,
        "offer_url": f"{base}/realtime-offer?{urlencode(query)}",
        "tool_url": f"{base}/tools/{{tool}}",
        "events_url": f"{base}/events",
        "media_url": f"{base}/media",
        "media_offer_url": f"{base}/media-offer" if spec.carries_audio else None,
        "created_at": iso(time.time()),
    }


@router.websocket("/session-instances/{session_id}/media")
async def media(session_id: str, websocket: WebSocket) -> None:
    """Audio of a `transport=websocket` or `audio_turns` session."""
    await carry_media(websocket.app.state.plane, websocket, session_id)


@router.post("/session-instances/{session_id}/input", status_code=202)
async def user_input(session_id: str, body: InputBody, plane: Plane) -> dict[str, str]:
    """A picture the user shows, a turn the user typed, the end of a turn the user spoke: in this order."""
    session = plane.sessions.get(session_id)
    if session.spec.carries_audio and session.phase == "idle":
        await session.connect()
    taken: dict[str, str] = {}
    if body.image is not None:
        taken["image_id"] = await session.inputs.show(body.image.data, detail=body.image.detail)
    if body.text is not None:
        taken["turn_id"] = await session.hear_text(body.text)
    if body.end_turn:
        await session.inputs.end_turn()
    return taken


@router.post("/session-instances/{session_id}/interrupt", status_code=202)
async def interrupt(session_id: str, plane: Plane) -> dict[str, str]:
    """Stop what is being said."""
    await plane.sessions.get(session_id).interrupt()
    return {}


@router.post("/session-instances/{session_id}/tools/{tool}", status_code=202)
@router.post("/sessions/{session_id}/tools/{tool}", status_code=202, include_in_schema=False)
async def call_tool(session_id: str, tool: str, body: ToolBody, plane: Plane) -> dict[str, Any]:
    """Run a tool that is on the session's list."""
    execution = await plane.sessions.call_tool(session_id, tool, target=body.target, arguments=body.input)
    return accepted(execution)


@router.post("/session-instances/{session_id}/close")
async def close(session_id: str, plane: Plane, body: CloseBody | None = None) -> dict[str, str]:
    """Hang up. Closing again answers the same."""
    session = plane.sessions.get(session_id)
    await session.close(body.reason if body else CloseReason.NORMAL)
    await session.ended()
    return {"session_id": session_id, "status": "closed"}


@router.get("/session-instances/{session_id}")
async def show(session_id: str, plane: Plane) -> dict[str, Any]:
    """What a session is and where it stands."""
    session = plane.sessions.get(session_id)
    return {
        "session_id": session_id,
        "run_id": session.run_id,
        "target": session.spec.target,
        "provider": session.spec.provider,
        "transport": session.spec.transport,
        "phase": session.phase,
        "close_reason": session.close_reason,
        "recorded": session.spec.recorded,
        "metadata": session.metadata,
        "usage": asdict(session.meter.usage),
        "rate_limits": [asdict(limit) for limit in session.meter.rate_limits],
    }


@router.get("/session-instances/{session_id}/events")
async def events(
    session_id: str,
    plane: Plane,
    after: Annotated[int, Query(ge=0, le=CURSOR_MAX)] = 0,
    presence: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """Server-sent events: records from any cursor on, live events in between."""
    session = plane.sessions.get(session_id)
    if session.live.readers >= READERS_MAX:
        raise Busy(f"{READERS_MAX} readers follow session {session_id}, which is the limit")
    if last_event_id is not None and last_event_id.isdecimal() and len(last_event_id) < len(str(CURSOR_MAX)):
        after = int(last_event_id)
    return EventSourceResponse(
        session_events(plane, session, after=after, presence=presence), ping=15, send_timeout=30
    )


@router.get("/session-instances/{session_id}/timeline.svg", response_class=Response)
async def timeline(session_id: str, plane: Plane) -> Response:
    """A picture of the call, drawn from the journal."""
    session = plane.sessions.get(session_id)
    svg = timeline_svg(await plane.journal.read(session.run_id))
    own_style_only = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(svg, media_type="image/svg+xml", headers=own_style_only)


@router.get("/session-instances/{session_id}/verify")
async def verify_run(session_id: str, plane: Plane) -> dict[str, Any]:
    """Check the run's chain now."""
    session = plane.sessions.get(session_id)
    report = await verify(plane.journal, run_id=session.run_id)
    last = await plane.journal.read(session.run_id, after=max(report.records - 1, 0))
    return {
        "ok": report.sound,
        "records": report.records,
        "head": last[-1].hash.hex() if last else None,
        "findings": [str(finding) for finding in report.findings],
    }
