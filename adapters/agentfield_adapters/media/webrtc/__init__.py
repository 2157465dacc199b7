"""A caller's media over WebRTC, ended by us: negotiation, the receive buffer, Opus both ways, digits."""

from functools import partial

from agentfield_adapters.media.webrtc.caller import WebRtcCaller
from agentfield_adapters.media.webrtc.pacing import Pacer
from agentfield_rt.caller_media import CallerMediaFactory

__all__ = ["WebRtcCaller", "webrtc_callers"]


def webrtc_callers() -> CallerMediaFactory:
    """Return what makes the callers of one event loop; one clock paces all of them."""
    return partial(WebRtcCaller, pacer=Pacer())
