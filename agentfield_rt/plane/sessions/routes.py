"""Sessions as things: started, listed, shown, closed. Both of AgentField's route families end here."""

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentfield_rt.errors import CloseReason
from agentfield_rt.plane.calls.ice import for_browser, ice_settings
from agentfield_rt.plane.catalogue.listing import LIMIT_MAX, OFFSET_MAX, SESSIONS, Filters
from agentfield_rt.plane.catalogue.rows import SessionRow
from agentfield_rt.plane.errors import BadRequest, NotFound
from agentfield_rt.plane.http.dependencies import ID_CHARS_MAX, Asking, Plane, Recorded, Session
from agentfield_rt.plane.notation import iso
from agentfield_rt.plane.sessions import StartRequest
from agentfield_rt.voice.session import VoiceSession

Word = Annotated[str, Field(max_length=ID_CHARS_MAX)]
"""A name of something; it is journaled, so it is bounded."""

router = APIRouter(prefix="/api/v1", tags=["sessions"])


class StartBody(BaseModel):
    """Empty strings count as left out, as in AgentField."""

    model_config = ConfigDict(extra="ignore")

    provider: Word | None = None
    transport: Word | None = None
    model: Word | None = None
    voice: Word | None = None
    metadata: dict[str, Any] | None = None


class CloseBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    reason: Literal["normal", "caller_gone", "cancel"] = "normal"


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
async def start(target: str, request: Request, plane: Plane, caller: Asking) -> dict[str, Any]:
    """Start a session. The body is optional; one that is no JSON object is ignored, as in AgentField.

    `session_token` opens the routes of this session and no others, for as long as it lives: it is for
    browsers, which are to have no key.
    """
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
        owner=caller.key,
    )
    session = await plane.sessions.start(target, wish)
    ice = ice_settings(plane.settings, user=session.session_id)
    created_at_s = time.time()
    return {
        **_started(session, mounted_at=request.scope["root_path"]),
        **for_browser(ice),
        "session_token": plane.sessions.tokens.issue(session.session_id),
        "created_at": iso(created_at_s),
        "expires_at": iso(created_at_s + plane.settings.session_age_max_s),
    }


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
    }


@router.get("/session-instances")
@router.get("/sessions", include_in_schema=False)
async def list_sessions(  # noqa: PLR0913 - what may be asked
    plane: Plane,
    caller: Asking,
    *,
    status: Literal["live", "ended"] | None = None,
    target: Annotated[
        str | None,
        Query(max_length=ID_CHARS_MAX, json_schema_extra={"pattern": r"^[^.]+\.[\s\S]+$"}),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX)] = 0,
) -> dict[str, Any]:
    """Sessions, those of earlier processes too, the newest first. Where there are keys, only the caller's.

    Raises:
        BadRequest: no session could have such a target.
    """
    if target is not None and not all(target.partition(".")):
        raise BadRequest("session target must be <node>.<session>")
    filters = Filters(target=target, live=None if status is None else status == "live", owner=caller.key)
    page = await plane.catalogue.page(SESSIONS, filters, limit=limit, offset=offset)
    return {
        "sessions": [_row_view(row) for row in page.rows],
        "total": page.total,
        "limit": limit,
        "offset": offset,
    }


@router.get("/session-instances/{session_id}")
async def show(recorded: Recorded, plane: Plane, caller: Asking) -> dict[str, Any]:
    """What a session is and where it stands, also long after its end."""
    try:
        session = plane.sessions.get(recorded.session_id, caller)
    except NotFound:
        return _row_view(recorded)
    return _row_view(recorded) | {
        "phase": session.phase,
        "close_reason": session.close_reason,
        "recorded": session.spec.recorded,
        "metadata": session.metadata,
        "usage": asdict(session.meter.usage),
        "rate_limits": [asdict(limit) for limit in session.meter.rate_limits],
    }


def _row_view(row: SessionRow) -> dict[str, Any]:
    return {
        "session_id": row.session_id,
        "run_id": row.run_id,
        "target": row.target,
        "provider": row.provider,
        "transport": row.transport,
        "model": row.model,
        "voice": row.voice,
        "modalities": row.modalities,
        "tools": row.tools,
        "tags": row.tags,
        "status": "live" if row.ended_at_ns is None else "ended",
        "close_reason": row.close_reason,
        "started_at": iso(row.started_at_ns / 1e9),
        "ended_at": None if row.ended_at_ns is None else iso(row.ended_at_ns / 1e9),
    }


@router.post("/session-instances/{session_id}/close")
@router.post("/sessions/{session_id}/close", include_in_schema=False)
async def close(session: Session, body: CloseBody | None = None) -> dict[str, str]:
    """Hang up. Closing again answers the same."""
    await session.close(CloseReason(body.reason) if body else CloseReason.NORMAL)
    await session.ended()
    return {"session_id": session.session_id, "status": "closed"}
