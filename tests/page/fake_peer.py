"""The other end of a WebRTC call: answers an offer and plays a tone. Knows no session."""

import asyncio
import fractions
import time

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from av import AudioFrame

RATE_HZ = 48_000
FRAME_MS = 20


class Tone(MediaStreamTrack):
    """A sine of `hz`, 20 ms of mono int16 at a time, paced by the clock."""

    kind = "audio"

    def __init__(self, hz: int) -> None:
        super().__init__()
        self._hz = hz
        self._sent = 0
        self._started_at: float | None = None

    async def recv(self) -> AudioFrame:
        length = RATE_HZ * FRAME_MS // 1000
        if self._started_at is None:
            self._started_at = time.monotonic()
        await asyncio.sleep(max(0.0, self._started_at + self._sent / RATE_HZ - time.monotonic()))
        angle = 2 * np.pi * self._hz * (self._sent + np.arange(length)) / RATE_HZ
        frame = AudioFrame.from_ndarray((8_000 * np.sin(angle)).astype("<i2")[None], "s16", "mono")
        frame.sample_rate = RATE_HZ
        frame.pts = self._sent
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._sent += length
        return frame


class FakePeer:
    """One answered call."""

    def __init__(self, tone_hz: int = 440) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._tone = Tone(tone_hz)
        self.channel_labels: list[str] = []

    async def answer(self, offer_sdp: str) -> str:
        """The SDP answer to a browser's offer."""
        self._connection.on("datachannel", self._note_channel)
        await self._connection.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        self._connection.addTrack(self._tone)
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._connection.localDescription.sdp

    def _note_channel(self, channel: RTCDataChannel) -> None:
        self.channel_labels.append(channel.label)

    async def close(self) -> None:
        self._tone.stop()
        await self._connection.close()
