"""Routes where a caller's SDP offer becomes a call: with the provider, or with us."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentfield_rt.errors import ProviderError, Reason, SessionClosed
from agentfield_rt.plane.errors import BadRequest, Conflict
from agentfield_rt.plane.http.bodies import read_body
from agentfield_rt.plane.http.dependencies import the_caller, the_plane, the_session
from agentfield_rt.plane.http.openapi import ErrorBody, Operation
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.sessions.specs import checked_pair, require_pair
from agentfield_rt.sdp import OFFER_BYTES_MAX, read_offer, write_offer
from agentfield_rt.voice.session import VoiceSession

_SDP = "application/sdp"
_REFUSALS = dict.fromkeys((400, 404, 409, 410, 502), ErrorBody)
REALTIME_OFFER = Operation(
    method="POST",
    path="/api/v1/session-instances/{session_id}/realtime-offer",
    tag="sessions",
    summary="Exchange the caller's SDP offer for the provider's answer; the session is connected by that.",
    answers={200: None, **_REFUSALS},
    query={
        name: "What `offer_url` says of the session; where it is there, it has to be true"
        for name in ("provider", "transport", "target")
    },
    text=_SDP,
)
MEDIA_OFFER = Operation(
    method="POST",
    path="/api/v1/session-instances/{session_id}/media-offer",
    tag="sessions",
    summary="Exchange the caller's SDP offer for ours: of a `transport=websocket` or `audio_turns` session.",
    answers={200: None, **_REFUSALS},
    text=_SDP,
)
OPERATIONS = (REALTIME_OFFER, MEDIA_OFFER)


async def realtime_offer(request: Request) -> Response:
    """See `REALTIME_OFFER`.

    `model` and `voice` were decided when the session was started; in the address they change nothing.
    """
    session, plane = await _session(request), the_plane(request)
    _require_truth(request.query_params, session, plane.nodes)
    # The provider is on the internet, or on this machine with a guard of its own.
    offer = read_offer(await read_body(request, bytes_max=OFFER_BYTES_MAX), private=True)
    _require_uncalled(session)
    try:
        connection = await session.connect(offer_sdp=write_offer(offer))
    except ProviderError as error:
        return _provider_failed(error, session.spec.provider)
    return Response(connection.answer_sdp, media_type=_SDP)


async def media_offer(request: Request) -> Response:
    """See `MEDIA_OFFER`."""
    session, plane = await _session(request), the_plane(request)
    if not session.spec.carries_audio:
        raise BadRequest("media-offer is not for transport=webrtc: send the offer to realtime-offer instead")
    body = await read_body(request, bytes_max=OFFER_BYTES_MAX)
    _require_uncalled(session)
    return Response(await plane.webrtc_calls.answer(session, body), media_type=_SDP)


def offer_routes() -> list[Route]:
    """Plain routes: a caller waits for each of them, and hears nothing until then."""
    return [
        Route(REALTIME_OFFER.path, realtime_offer, methods=["POST"]),
        Route("/api/v1/sessions/{session_id}/realtime-offer", realtime_offer, methods=["POST"]),
        Route(MEDIA_OFFER.path, media_offer, methods=["POST"]),
    ]


async def _session(request: Request) -> VoiceSession:
    return await the_session(request.path_params["session_id"], the_plane(request), the_caller(request))


def _require_truth(claims: Mapping[str, str], session: VoiceSession, nodes: Nodes) -> None:
    """What the address says is the session's own: checked in AgentField's order, with its texts.

    Raises:
        BadRequest: it is another's, or nobody's.
        NotFound: there is no such target.
    """
    spec = session.spec
    pair = checked_pair(claims.get("provider") or spec.provider, claims.get("transport") or spec.transport)
    if pair[1] != "webrtc":
        raise BadRequest("realtime-offer requires transport=webrtc")
    if target := claims.get("target"):
        _, definition = nodes.session(target)
        require_pair(target, definition, pair)
        if target != spec.target:
            raise BadRequest(f"session {session.session_id} is one of {spec.target}, not of {target}")
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
