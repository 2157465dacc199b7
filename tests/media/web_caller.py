"""A caller over WebRTC whose every packet a test writes, who counts what they hear: aiortc as it comes."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket

from agentfield_adapters.media.libopus import Encoder

WAIT_S = 20
RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50
FRAME_TICKS = 960
LOUD = 600
EVENT_TYPES = {110: 48_000, 126: 8_000}


def vowel(frames: int) -> list[bytes]:
    """A voice that holds one sound: harmonics of 140 Hz, in frames of 20 ms at 24 kHz."""
    at_s = np.arange(frames * FRAME_SAMPLES) / RATE_HZ
    waves = [np.sin(2 * np.pi * 140 * order * at_s) / order for order in range(1, 15)]
    pcm = (np.sum(waves, axis=0) * 6_000).astype("<i2").tobytes()
    return [pcm[start : start + FRAME_SAMPLES * 2] for start in range(0, len(pcm), FRAME_SAMPLES * 2)]


class WebCaller:
    """One call. Sends nothing by itself.

    Attributes:
        loud_frames: How many of the frames heard so far were not silent.
    """

    def __init__(self, configuration: RTCConfiguration | None = None) -> None:
        self.connection = RTCPeerConnection(configuration or RTCConfiguration(iceServers=[]))
        self._audio = self.connection.addTransceiver("audio")
        self._encoder = Encoder(rate_hz=RATE_HZ)
        self._sequence = 1_000
        self._ticks = 5_000
        self._listening: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self.loud_frames = self.quiet_frames = 0
        self.connection.on("track", self._listen)
        self.connection.on("connectionstatechange", self._note_state)

    async def offer(self) -> str:
        """The SDP offer, with keys of a telephone as browsers offer them."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        lines: list[str] = []
        for line in self.connection.localDescription.sdp.splitlines():
            lines.append(line + "".join(f" {number}" for number in EVENT_TYPES) * line.startswith("m=audio"))
        lines += [f"a=rtpmap:{number} telephone-event/{rate}" for number, rate in EVENT_TYPES.items()]
        return "\r\n".join(lines) + "\r\n"

    async def accept(self, answer: str) -> None:
        """Take the answer and return once connected."""
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await self.until(lambda: self.connection.connectionState == "connected")

    async def until(self, fact: Any) -> None:
        """Wait for something that a frame or the connection brings about."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(fact)

    async def say(self, frames: Iterable[bytes], *, lost: Iterable[int] = ()) -> None:
        """Send frames, but those whose numbers are `lost`; faster than real time."""
        gone = set(lost)
        for number, pcm in enumerate(frames):
            payload = self._encoder.encoded(pcm)
            if number not in gone:
                await self._send(96, self._ticks, payload)
            self._sequence += 1
            self._ticks += FRAME_TICKS

    async def press(self, digit: str, *, payload_type: int = 110, ends: int = 3) -> None:
        """Press a key for 100 ms; `ends` of the three packets that say so at the end arrive."""
        event = "0123456789*#ABCD".index(digit)
        step = EVENT_TYPES[payload_type] // 50
        for number in range(1, 6):
            body = bytes([event, 10]) + (number * step).to_bytes(2)
            await self._send(payload_type, self._ticks, body)
            self._sequence += 1
        for number in range(3):
            body = bytes([event, 0x80 | 10]) + (5 * step).to_bytes(2)
            if number < ends:
                await self._send(payload_type, self._ticks, body)
            self._sequence += 1
        self._ticks += 5 * FRAME_TICKS

    def vanish(self) -> None:
        """Be gone without a word, as when a battery is empty: nothing is sent, nothing is answered."""
        connection: Any = self._audio.sender.transport.transport._connection
        for protocol in connection._protocols:
            protocol.transport.abort()

    async def hang_up(self) -> None:
        await self.connection.close()
        if self._listening is not None:
            await self._listening

    async def _send(self, payload_type: int, ticks: int, payload: bytes) -> None:
        packet = RtpPacket(payload_type=payload_type, sequence_number=self._sequence, timestamp=ticks)
        packet.ssrc = self._audio.sender._ssrc
        packet.payload = payload
        await self._audio.sender.transport._send_rtp(packet.serialize())

    def _listen(self, track: Any) -> None:
        self._listening = asyncio.create_task(self._hear(track))

    async def _hear(self, track: Any) -> None:
        try:
            while True:
                frame: Any = await track.recv()
                if np.abs(frame.to_ndarray().astype(np.int32)).max() > LOUD:
                    self.loud_frames += 1
                    self.quiet_frames = 0
                else:
                    self.quiet_frames += 1
                async with self._changed:
                    self._changed.notify_all()
        except MediaStreamError:
            return

    async def _note_state(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def web_caller(configuration: RTCConfiguration | None = None) -> AsyncGenerator[WebCaller]:
    """A caller who has hung up at the end."""
    caller = WebCaller(configuration)
    try:
        yield caller
    finally:
        await caller.hang_up()
