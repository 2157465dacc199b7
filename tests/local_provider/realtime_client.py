"""A client of the Realtime protocol that keeps every event it was sent."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from agentfield_adapters.local.mouth.caller import Samples, silence, spoken
from tests.local_provider.provider_process import KEY, RunningProvider

Event = dict[str, Any]
WAIT_S = 20

GRAMMAR = """#JSGF V1.0;
grammar desk;
public <request> = hello | goodbye | where is my order | cancel order <number> | tell me a long story
    | what are your opening hours | let me talk to a person;
<number> = one | two | three | eight | nine | ten;
"""

_spoken: dict[tuple[str, str, int], Samples] = {}


async def cached_speech(text: str, *, voice: str = "en-us+f2", rate_hz: int = 24_000) -> Samples:
    """Return `text` as speech, synthesised once in a test run."""
    key = (text, voice, rate_hz)
    if key not in _spoken:
        _spoken[key] = await spoken(text, voice=voice, rate_hz=rate_hz)
    return _spoken[key]


class RealtimeClient:
    """One end of a websocket session, or of a call's sideband."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[Event] = []

    async def send(self, kind: str, **fields: object) -> None:
        """Send one event."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def next(self) -> Event:
        """Return the next event."""
        event: Event = json.loads(await asyncio.wait_for(self.socket.recv(), WAIT_S))
        self.events.append(event)
        return event

    async def until(self, kind: str) -> Event:
        """Return the next event of a type; what came before it is in `events`."""
        while (event := await self.next())["type"] != kind:
            pass
        return event

    async def ask(self, kind: str, answer: str, **fields: object) -> Event:
        """Send an event and return the answer of a type."""
        await self.send(kind, **fields)
        return await self.until(answer)

    async def configure(self, **session: object) -> Event:
        """Update the session."""
        return await self.ask("session.update", "session.updated", session={"type": "realtime", **session})

    async def listen_for_requests(self, **turn_detection: object) -> Event:
        """Use the test grammar and server VAD."""
        detection = {"type": "server_vad", "silence_duration_ms": 320, **turn_detection}
        return await self.configure(
            audio={"input": {"transcription": {"prompt": GRAMMAR}, "turn_detection": detection}}
        )

    async def say(self, text: str, **response: object) -> None:
        """Ask for a verbatim answer."""
        await self.send("response.create", response={"instructions": f"Say exactly: {text}", **response})

    async def speak(self, text: str, *, voice: str = "en-us+f2", pause_ms: int = 800) -> None:
        """Send speech, then a pause."""
        await self.append(await cached_speech(text, voice=voice))
        await self.append(silence(pause_ms))

    async def append(self, samples: Samples) -> None:
        """Send audio in pieces of 100 ms."""
        data = samples.astype("<i2").tobytes()
        for start in range(0, len(data), 4800):
            piece = base64.b64encode(data[start : start + 4800]).decode()
            await self.send("input_audio_buffer.append", audio=piece)

    def kinds(self, *, since: str | None = None) -> list[str]:
        """Return the types of all events, runs of one type as one, after the last `since`."""
        kinds = [str(event["type"]) for event in self.events]
        if since is not None:
            kinds = kinds[len(kinds) - kinds[::-1].index(since) :]
        return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]

    def all(self, kind: str) -> list[Event]:
        """Return every event of a type."""
        return [event for event in self.events if event["type"] == kind]


@asynccontextmanager
async def session(
    provider: RunningProvider, query: str = "model=gpt-realtime"
) -> AsyncGenerator[RealtimeClient]:
    """Open a session of its own, or a sideband, and close it."""
    async with connect(f"{provider.websocket_url}?{query}", additional_headers=KEY) as socket:
        yield RealtimeClient(socket)
