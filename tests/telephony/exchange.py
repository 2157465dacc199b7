"""A server that phone vendors know under its public name, and its calls as a test follows them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.frames import InputFrame, ProviderEvent, ResponseEnded, ResponseStatus, SpeechFrame
from tests.plane import serving
from tests.plane.serving import AnsweringAdapter, Served, served
from tests.telephony.peer import PUBLIC_URL
from tests.telephony.vendors import VENDORS
from tests.voice.call import speech

Handler = Callable[[RealtimeSession], Awaitable[None]]
WITHIN_S = 10
WORD_MS = 100


def talks(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    """A provider that takes its time for every word."""
    if isinstance(frame, SpeechFrame):
        yield from speech(frame, response_id, audio_ms=WORD_MS * len((frame.text or "").split()))
        yield ResponseEnded(response_id, ResponseStatus.COMPLETED)


class TalkingAdapter(AnsweringAdapter):
    def __init__(self) -> None:
        super().__init__()
        self._answer = talks


@dataclass(frozen=True)
class Call:
    """A call that a handler has got."""

    server: Served
    session: RealtimeSession

    async def types(self, text: str) -> None:
        """The user says something without a sound; the handler answers it."""
        path = f"/api/v1/session-instances/{self.session.id}/input"
        await asyncio.to_thread(self.server.post, path, {"text": text})

    def gives(self, *events: ProviderEvent) -> None:
        """The provider says something."""
        adapter = self.server.adapters[-1]
        self.server.loop.call_soon_threadsafe(lambda: adapter.give(*events))

    async def record(self, kind: str) -> dict[str, Any]:
        """The first record of a kind, once it is there."""
        return (await self._records(until=kind))[-1]

    async def records(self) -> list[dict[str, Any]]:
        """All there are, once it is over."""
        return await self._records()

    async def kinds(self) -> list[str]:
        """Of all records, once it is over."""
        return [record["kind"] for record in await self._records()]

    async def close_reason(self) -> str | None:
        """Why it ended, once it has."""
        await self._records()
        answer = await asyncio.to_thread(self.server.get, f"/api/v1/session-instances/{self.session.id}")
        return str(answer.json()["close_reason"])

    async def _records(self, until: str = "") -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._read, until)

    def _read(self, until: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        with self.server.events(self.session.id) as events:
            for event, _, data in events:
                if event == "end":
                    break
                if event == "record":
                    found.append(json.loads(data))
                    if found[-1]["kind"] == until:
                        break
        assert not until or found[-1]["kind"] == until, f"no {until}: {[r['kind'] for r in found]}"
        return found


@dataclass(frozen=True)
class Exchange:
    """A server with sessions `desk.phone`, `desk.pin` and `desk.page`."""

    server: Served
    taken: "SimpleQueue[RealtimeSession]"

    async def call(self) -> Call:
        """The next call that a handler gets."""
        return Call(self.server, await asyncio.to_thread(self.taken.get, timeout=WITHIN_S))


@contextmanager
def exchange(data: Path, patch: pytest.MonkeyPatch, **settings: Any) -> Generator[Exchange]:
    keys = {name: value for vendor in VENDORS for name, value in vendor().settings().items()}
    taken: SimpleQueue[RealtimeSession] = SimpleQueue()
    settings = {"public_url": PUBLIC_URL, **keys, **settings}
    patch.setattr(serving, "AnsweringAdapter", TalkingAdapter)
    with served(data, patch, agents=[_desk(taken)], **settings) as server:
        yield Exchange(server, taken)


def _desk(taken: "SimpleQueue[RealtimeSession]") -> Agent:
    app = Agent("desk", description="for tests")

    async def answers(session: RealtimeSession) -> None:
        taken.put(session)
        async for turn in session.turns():
            await session.say(turn.text)

    async def asks_for_a_pin(session: RealtimeSession) -> None:
        taken.put(session)
        gathered = await session.gather_digits(max_digits=8, timeout_s=20)
        await session.say(f"{len(gathered.digits)} digits, {gathered.ended_by}")
        await session.close()

    app.session("phone", provider="local", transport="websocket")(answers)
    app.session("pin", provider="local", transport="websocket")(asks_for_a_pin)
    app.session("page", provider="local", transport="webrtc")(answers)
    return app
