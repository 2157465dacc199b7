"""What we use of aiortc and aioice to negotiate a call, beyond what they document; a test holds each name."""

from __future__ import annotations

from collections.abc import Sequence

import aioice.ice
from aiortc import RTCConfiguration, RTCIceServer, RTCRtpTransceiver
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from agentfield_rt.caller_media import IceSettings
from agentfield_rt.sdp import Codec

CODECS_ATTRIBUTE = "_codecs"
# A peer that is gone without a word is noticed after three unanswered checks of half a second,
# where aioice's own six of five seconds leave a call open for half a minute.
CONSENT_INTERVAL_S, CONSENT_FAILURES_MAX = 0.5, 3


def configuration(ice: IceSettings) -> RTCConfiguration:
    """Return aiortc's configuration; without servers none are asked, where its default asks a public one."""
    aioice.ice.CONSENT_INTERVAL = CONSENT_INTERVAL_S  # type: ignore[assignment]
    aioice.ice.CONSENT_FAILURES = CONSENT_FAILURES_MAX
    return RTCConfiguration(
        iceServers=[
            RTCIceServer(urls=list(server.urls), username=server.username, credential=server.credential)
            for server in ice.servers
        ],
        iceTransportPolicy=RTCIceTransportPolicy.RELAY if ice.relay_only else RTCIceTransportPolicy.ALL,
    )


def agree_on(transceiver: RTCRtpTransceiver, codecs: Sequence[Codec]) -> None:
    """Answer an offer with these formats; the first is what we send.

    aiortc knows no `telephone-event` and says nothing of Opus's error correction, and its list of what it
    knows is the whole process's.

    Raises:
        RuntimeError: This aiortc keeps them elsewhere: install the version that pyproject.toml asks for.
    """
    _require(transceiver, CODECS_ATTRIBUTE)
    agreed = [
        RTCRtpCodecParameters(
            mimeType=f"audio/{codec.name}",
            clockRate=codec.clock_rate_hz,
            channels=codec.channels,
            payloadType=codec.payload_type,
            parameters=_parameters(codec),
        )
        for codec in codecs
    ]
    setattr(transceiver, CODECS_ATTRIBUTE, agreed)


def _parameters(codec: Codec) -> dict[str, int | str | None]:
    if codec.name == "opus":
        return {"minptime": 10, "useinbandfec": 1}
    return {"0-15": None}


def _require(thing: object, name: str) -> None:
    if not hasattr(thing, name):
        raise RuntimeError(f"aiortc has no {name} any more: install aiortc>=1.16,<1.17")
