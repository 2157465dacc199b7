"""Routes where a caller's SDP offer becomes a call: with the provider, or with us."""

from fastapi import APIRouter, Request, Response

from agentfield_rt.errors import ProviderError, Reason, SessionClosed
from agentfield_rt.plane.bodies import read_body
from agentfield_rt.plane.dependencies import Plane
from agentfield_rt.plane.errors import BadRequest, Conflict
from agentfield_rt.sdp import OFFER_BYTES_MAX, read_offer, write_offer
from agentfield_rt.voice.session import VoiceSession

router = APIRouter(tags=["sessions"])


@router.post("/session-instances/{session_id}/realtime-offer", response_class=Response)
@router.post("/sessions/{session_id}/realtime-offer", response_class=Response, include_in_schema=False)
async def realtime_offer(session_id: str, request: Request, plane: Plane) -> Response:
    """Exchange the caller's SDP offer for the provider's answer; the session is connected by that."""
    session = plane.sessions.get(session_id)
    if session.spec.transport != "webrtc":
        raise BadRequest("realtime-offer requires transport=webrtc")
    # The provider is on the internet, or on this machine with a guard of its own.
    offer = read_offer(await read_body(request, bytes_max=OFFER_BYTES_MAX), private=True)
    _require_uncalled(session)
    try:
        connection = await session.connect(offer_sdp=write_offer(offer))
    except ProviderError as error:
        if error.reason is not Reason.INVALID_REQUEST:
            raise
        hint = "was the SDP offer made by a WebRTC peer, to send and receive audio?"
        raise BadRequest(f"{error}; {hint}") from error
    return Response(connection.answer_sdp, media_type="application/sdp")


@router.post("/session-instances/{session_id}/media-offer", response_class=Response)
async def media_offer(session_id: str, request: Request, plane: Plane) -> Response:
    """Exchange the caller's SDP offer for ours: of a `transport=websocket` or `audio_turns` session."""
    session = plane.sessions.get(session_id)
    if not session.spec.carries_audio:
        raise BadRequest("media-offer is not for transport=webrtc: send the offer to realtime-offer instead")
    body = await read_body(request, bytes_max=OFFER_BYTES_MAX)
    _require_uncalled(session)
    return Response(await plane.webrtc_calls.answer(session, body), media_type="application/sdp")


def _require_uncalled(session: VoiceSession) -> None:
    if session.is_over:
        raise SessionClosed(f"session {session.session_id} is over; start a new one")
    if session.phase != "idle":
        raise Conflict(
            f"session {session.session_id} has had its offer; start a new session for another call"
        )
