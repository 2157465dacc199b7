"""A caller over WebRTC, as a browser would be: a microphone, a loudspeaker, the events of `oai-events`."""

from __future__ import annotations

import asyncio
import fractions
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from agentfield_adapters.local.mouth.caller import Samples, silence
from tests.local_provider.provider_process import KEY, RunningProvider
from tests.local_provider.realtime_client import GRAMMAR, WAIT_S, Event, cached_speech

RATE_HZ = 48_000
FRAME_SAMPLES = RATE_HZ // 50
LOUD = 600
SESSION: dict[str, Any] = {
    "type": "realtime",
    "audio": {
        "input": {
            "transcription": {"prompt": GRAMMAR},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 320},
        }
    },
}


class Microphone(MediaStreamTrack):
    """Sends what it is given in real time, and a quiet room otherwise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._room = silence(20, rate_hz=RATE_HZ)
        self._unsaid: list[Samples] = []
        self._began: float | None = None
        self._sent = 0
        self.spoke_at = 0.0

    def say(self, samples: Samples) -> None:
        """Speak after what is still being said."""
        whole = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES))
        self._unsaid += np.split(whole, len(whole) // FRAME_SAMPLES)

    async def recv(self) -> av.AudioFrame:
        """Return the next 20 ms when they are due."""
        now = time.monotonic()
        self._began = self._began or now
        await asyncio.sleep(max(0.0, self._began + self._sent / RATE_HZ - now))
        if self._unsaid:
            samples = self._unsaid.pop(0)
            if np.abs(samples).max() > LOUD:
                self.spoke_at = time.monotonic()
        else:
            samples = self._room
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._sent
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._sent += FRAME_SAMPLES
        return frame


class CallerPeer:
    """One call, from the caller's end."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.events: list[Event] = []
        self.call_id = ""
        self.heard_at = 0.0
        self.heard_ms = 0
        self._arrived: asyncio.Queue[Event] = asyncio.Queue()
        self._listening: asyncio.Task[None] | None = None
        self.connection.addTrack(self.microphone)
        self.channel = self.connection.createDataChannel("oai-events")
        self.channel.on("message", self._take)
        self.connection.on("track", self._listen)

    async def dial(self, provider: RunningProvider, session: dict[str, Any] = SESSION) -> None:
        """Make the call and wait for its first event."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        parts = {
            "sdp": (None, self.connection.localDescription.sdp, "application/sdp"),
            "session": (None, json.dumps(session), "application/json"),
        }
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{provider.url}/v1/realtime/calls", headers=KEY, files=parts)
        assert answer.status_code == 201, answer.text
        self.call_id = answer.headers["location"].rpartition("/")[2]
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        await self.until("session.created")

    async def speak(self, text: str, *, voice: str = "en-us+f2") -> None:
        """Say something; returns while it is being said."""
        self.microphone.say(await cached_speech(text, voice=voice, rate_hz=RATE_HZ))

    def send(self, kind: str, **fields: object) -> None:
        """Send one event."""
        self.channel.send(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str) -> Event:
        """Return the next event of a type."""
        while (event := await asyncio.wait_for(self._arrived.get(), WAIT_S))["type"] != kind:
            pass
        return event

    def kinds(self, *, until: str | None = None) -> list[str]:
        """Return the types of all events so far, or up to the first of a type, runs of one type as one."""
        kinds = [str(event["type"]) for event in self.events]
        if until is not None:
            del kinds[kinds.index(until) + 1 :]
        return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]

    async def hang_up(self) -> None:
        """End the call."""
        await self.connection.close()
        if self._listening is not None:
            await self._listening

    def _take(self, message: str | bytes) -> None:
        event: Event = json.loads(message)
        self.events.append(event)
        self._arrived.put_nowait(event)

    def _listen(self, track: Any) -> None:
        self._listening = asyncio.create_task(self._hear(track))

    async def _hear(self, track: Any) -> None:
        try:
            while True:
                frame: av.AudioFrame = await track.recv()
                if np.abs(frame.to_ndarray().astype(np.int32)).max() > LOUD:
                    self.heard_at = time.monotonic()
                    self.heard_ms += 1000 * frame.samples // frame.sample_rate
        except MediaStreamError:
            return


@asynccontextmanager
async def calling(provider: RunningProvider, session: dict[str, Any] = SESSION) -> AsyncGenerator[CallerPeer]:
    """Make a call and hang up at the end of the block."""
    peer = CallerPeer()
    try:
        await peer.dial(provider, session)
        yield peer
    finally:
        await peer.hang_up()
