"""Callers with a microphone: just enough of a browser to have a call."""

import asyncio
import json
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from tests.local_provider.caller_peer import RATE_HZ, Microphone


class SilentCaller:
    """One peer connection. Offer, then accept the answer, then hang up."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection()
        self.microphone: MediaStreamTrack = AudioStreamTrack()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._open = asyncio.Event()

    async def offer(self) -> str:
        """An SDP offer with audio and the data channel the protocol asks for."""
        self._peer.addTrack(self.microphone)
        self._channel = self._peer.createDataChannel("oai-events")
        self._channel.on("open", self._open.set)
        self._channel.on("message", self._hear)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return self._peer.localDescription.sdp

    def _hear(self, text: str) -> None:
        self._events.put_nowait(json.loads(text))

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


class SpeakingCaller(SilentCaller):
    """One who makes a sound when told to; synthetic ears take any for a turn."""

    def __init__(self) -> None:
        super().__init__()
        self._mouth = Microphone()
        self.microphone = self._mouth

    def speak(self) -> None:
        """Say something for half a second."""
        at = np.arange(RATE_HZ // 2) / RATE_HZ
        self._mouth.say((np.sin(2 * np.pi * 300 * at) * 8_000).astype(np.int16))
