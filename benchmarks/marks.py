"""A caller that sends marks, for `benchmarks.media_delay`: loud frames in silence, timed on both sides."""

from __future__ import annotations

import asyncio
import fractions
import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

RATE_HZ, FRAME_SAMPLES, FRAME_S = 48_000, 960, 0.02
MARK_EVERY = 50
LOUD = 3_000
CONNECT_S_MAX = 15.0
NO_SERVERS = RTCConfiguration(iceServers=[])


class Marks(MediaStreamTrack):
    """Silence with a loud frame now and then; notes when each is due to be sent."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.sent_s: list[float] = []
        self._frames = 0
        self._began_s = 0.0
        at = np.arange(FRAME_SAMPLES) / RATE_HZ
        self._loud = (np.sin(2 * np.pi * 440 * at) * 20_000).astype(np.int16).tobytes()

    async def recv(self) -> av.AudioFrame:
        now_s = time.perf_counter()
        self._began_s = self._began_s or now_s
        await asyncio.sleep(max(0.0, self._began_s + self._frames * FRAME_S - now_s))
        is_mark = self._frames % MARK_EVERY == MARK_EVERY - 1
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(self._loud if is_mark else bytes(FRAME_SAMPLES * 2))
        frame.sample_rate, frame.pts = RATE_HZ, self._frames * FRAME_SAMPLES
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._frames += 1
        if is_mark:
            self.sent_s.append(time.perf_counter())
        return frame


class Ear:
    """Notes when marks are heard, and when anything is."""

    def __init__(self) -> None:
        self.marks_s: list[float] = []
        self.heard_s: list[float] = []
        self._was_loud = False

    def hear(self, pcm: bytes) -> None:
        now_s = time.perf_counter()
        self.heard_s.append(now_s)
        is_loud = int(np.abs(np.frombuffer(pcm, dtype=np.int16).astype(np.int32)).max()) > LOUD
        if is_loud and not self._was_loud:
            self.marks_s.append(now_s)
        self._was_loud = is_loud

    async def listen(self, track: Any) -> None:
        """Hear what stock aiortc gives out."""
        try:
            while True:
                frame: Any = await track.recv()
                self.hear(frame.to_ndarray().tobytes())
        except MediaStreamError:
            return

    def delays_ms(self, sent_s: list[float]) -> list[float]:
        """From each mark's sending to its being heard; lost marks have none."""
        delays: list[float] = []
        for heard in self.marks_s:
            before = [sent for sent in sent_s if sent <= heard]
            if before and heard - before[-1] < FRAME_S * MARK_EVERY:
                delays.append((heard - before[-1]) * 1e3)
        return delays

    def longest_gap_ms(self) -> float:
        """The longest time without anything to hear, after the first second."""
        steady = [at for at in self.heard_s if at > self.heard_s[0] + 1]
        return max(later - earlier for earlier, later in pairwise(steady)) * 1e3


class Call:
    """A caller that sends marks, and their connection."""

    def __init__(self) -> None:
        self.marks, self.ear = Marks(), Ear()
        self.connection = RTCPeerConnection(NO_SERVERS)
        self.connection.addTrack(self.marks)
        self._listening: set[asyncio.Task[None]] = set()
        self.connection.on("track", self._hear)

    def _hear(self, track: Any) -> None:
        self._listening.add(asyncio.create_task(self.ear.listen(track)))

    async def dial(self, answer: Callable[[str], Any], *, loss: float = 0.0) -> None:
        """Call whoever answers; from then on `loss` of our packets never leave."""
        connection, connected = self.connection, asyncio.Event()

        def changed() -> None:
            if connection.connectionState == "connected":
                connected.set()

        connection.on("connectionstatechange", changed)
        await connection.setLocalDescription(await connection.createOffer())
        answered = await answer(connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription(answered, "answer"))
        async with asyncio.timeout(CONNECT_S_MAX):
            await connected.wait()
        if loss:
            self._lose(loss)

    def _lose(self, share: float) -> None:
        transport: Any = self.connection.getSenders()[0].transport
        send, chance = transport._send_rtp, random.Random(1)

        async def send_mostly(data: bytes) -> None:
            if 192 <= data[1] < 224 or chance.random() >= share:  # RTCP is never lost
                await send(data)

        transport._send_rtp = send_mostly
