"""A caller with a microphone that is silent: just enough of a browser to have a call."""

import asyncio
import json
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack


class SilentCaller:
    """One peer connection. Offer, then accept the answer, then hang up."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._open = asyncio.Event()

    async def offer(self) -> str:
        """An SDP offer with audio and the data channel the protocol asks for."""
        self._peer.addTrack(AudioStreamTrack())
        self._channel = self._peer.createDataChannel("oai-events")
        self._channel.on("open", self._open.set)
        self._channel.on("message", lambda text: self._events.put_nowait(json.loads(text)))
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return self._peer.localDescription.sdp

    async def accept(self, answer_sdp: str) -> None:
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp=answer_sdp, type="answer"))

    async def send(self, kind: str, **fields: Any) -> None:
        """Say an event over the data channel, as a page may."""
        async with asyncio.timeout(10):
            await self._open.wait()
        self._channel.send(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of a kind; what comes before it is forgotten."""
        async with asyncio.timeout(10):
            while (event := await self._events.get())["type"] != kind:
                pass
        return event

    async def hang_up(self) -> None:
        await self._peer.close()
