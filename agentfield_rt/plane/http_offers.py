"""Routes where a caller's SDP offer becomes a call: with the provider, or with us."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from agentfield_rt.errors import ProviderError, Reason, SessionClosed
from agentfield_rt.plane.bodies import read_body
from agentfield_rt.plane.dependencies import ID_CHARS_MAX, Plane, Session
from agentfield_rt.plane.errors import BadRequest, Conflict
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.sessions.specs import checked_pair, require_pair
from agentfield_rt.sdp import OFFER_BYTES_MAX, read_offer, write_offer
from agentfield_rt.voice.session import VoiceSession

router = APIRouter(tags=["sessions"])

_SDP: dict[str, Any] = {"application/sdp": {"schema": {"type": "string"}}}
_DOCUMENTED: dict[str, Any] = {
    "response_class": Response,
    "openapi_extra": {"requestBody": {"required": True, "content": _SDP}},
    "responses": {200: {"description": "The answer", "content": _SDP}},
}

Given = Annotated[str | None, Query(max_length=2 * ID_CHARS_MAX)]


@dataclass(frozen=True, slots=True)
class Claims:
    """What `offer_url` says of its session. It may be left out; where it is there, it has to be true."""

    provider: Given = None
    transport: Given = None
    target: Given = None


@router.post("/session-instances/{session_id}/realtime-offer", **_DOCUMENTED)
@router.post("/sessions/{session_id}/realtime-offer", **_DOCUMENTED, include_in_schema=False)
async def realtime_offer(
    session: Session, request: Request, plane: Plane, claims: Annotated[Claims, Depends()]
) -> Response:
    """Exchange the caller's SDP offer for the provider's answer; the session is connected by that.

    `model` and `voice` were decided when the session was started; in the address they change nothing.
    """
    _require_truth(claims, session, plane.nodes)
    # The provider is on the internet, or on this machine with a guard of its own.
    offer = read_offer(await read_body(request, bytes_max=OFFER_BYTES_MAX), private=True)
    _require_uncalled(session)
    try:
        connection = await session.connect(offer_sdp=write_offer(offer))
    except ProviderError as error:
        return _provider_failed(error, session.spec.provider)
    return Response(connection.answer_sdp, media_type="application/sdp")


@router.post("/session-instances/{session_id}/media-offer", **_DOCUMENTED)
async def media_offer(session: Session, request: Request, plane: Plane) -> Response:
    """Exchange the caller's SDP offer for ours: of a `transport=websocket` or `audio_turns` session."""
    if not session.spec.carries_audio:
        raise BadRequest("media-offer is not for transport=webrtc: send the offer to realtime-offer instead")
    body = await read_body(request, bytes_max=OFFER_BYTES_MAX)
    _require_uncalled(session)
    return Response(await plane.webrtc_calls.answer(session, body), media_type="application/sdp")


def _require_truth(claims: Claims, session: VoiceSession, nodes: Nodes) -> None:
    """What the address says is the session's own: checked in AgentField's order, with its texts.

    Raises:
        BadRequest: it is another's, or nobody's.
        NotFound: there is no such target.
    """
    spec = session.spec
    pair = checked_pair(claims.provider or spec.provider, claims.transport or spec.transport)
    if pair[1] != "webrtc":
        raise BadRequest("realtime-offer requires transport=webrtc")
    if claims.target:
        _, definition = nodes.session(claims.target)
        require_pair(claims.target, definition, pair)
        if claims.target != spec.target:
            raise BadRequest(f"session {session.session_id} is one of {spec.target}, not of {claims.target}")
    if pair != (spec.provider, spec.transport):
        raise BadRequest(
            f"session {spec.target} is registered for provider={spec.provider} transport={spec.transport}; "
            f"requested provider={pair[0]} transport={pair[1]}"
        )


def _provider_failed(error: ProviderError, provider: str) -> JSONResponse:
    """What the provider itself said stays here: it may hold what was said, or a key."""
    if error.reason is Reason.INVALID_REQUEST:
        hint = "was the SDP offer made by a WebRTC peer, to send and receive audio?"
        return JSONResponse({"error": f"{error}; {hint}"}, 400)
    where = {"boundary": "control-plane -> realtime provider", "provider": provider}
    return JSONResponse({"error": str(error), **where}, 502)


def _require_uncalled(session: VoiceSession) -> None:
    if session.is_over:
        raise SessionClosed(f"session {session.session_id} is over; start a new one")
    if session.phase != "idle":
        raise Conflict(
            f"session {session.session_id} has had its offer; start a new session for another call"
        )
