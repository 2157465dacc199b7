"""aiortc as it comes: a call decodes what it hears and encodes 20 ms of PCM every 20 ms, nothing else."""

import asyncio
import fractions
import time
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from benchmarks.peers import call_server
from benchmarks.peers.speech import FRAME_S, spoken

RATE_HZ = 24_000


class Speech(MediaStreamTrack):
    """Paced by the clock."""

    kind = "audio"
    frames = spoken(RATE_HZ)

    def __init__(self) -> None:
        super().__init__()
        self._sent_frames = 0
        self._began_s = 0.0

    async def recv(self) -> av.AudioFrame:
        if not self._sent_frames:
            self._began_s = time.monotonic()
        wait_s = self._began_s + self._sent_frames * FRAME_S - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        pcm = self.frames[self._sent_frames % len(self.frames)]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.time_base = RATE_HZ, fractions.Fraction(1, RATE_HZ)
        frame.pts = self._sent_frames * frame.samples
        self._sent_frames += 1
        return frame


class Server:
    """All calls of this process."""

    def __init__(self) -> None:
        self.heard_frames = 0.0
        self._calls: list[RTCPeerConnection] = []
        self._ears: list[asyncio.Task[None]] = []

    async def answer(self, offer: str) -> str:
        call = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._calls.append(call)
        call.on("track", self._listen)
        await call.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        call.addTrack(Speech())
        await call.setLocalDescription(await call.createAnswer())
        return call.localDescription.sdp

    def _listen(self, track: MediaStreamTrack) -> None:
        self._ears.append(asyncio.create_task(self._hear(track)))

    async def _hear(self, track: Any) -> None:
        try:
            while True:
                await track.recv()
                self.heard_frames += 1
        except MediaStreamError:
            pass


async def started() -> Server:
    return Server()


if __name__ == "__main__":
    call_server.main(started)
