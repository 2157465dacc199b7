"""One session of the fake plane: the test says what happens in it. Knows no HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.websockets import WebSocket

WAIT_S = 8


class FakeSession:
    """One session: the test says what happens in it, and sees what the page asked for."""

    def __init__(self, number: int, target: dict[str, Any]) -> None:
        self.session_id = f"ses_{number}"
        self.target = target
        self.clock_ms = 1_795_245_600_000.0
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.interrupts: asyncio.Queue[None] = asyncio.Queue()
        self.offers: list[str] = []
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.connected = asyncio.Event()
        self.media: WebSocket | None = None
        self.heard = bytearray()
        self._heard_more = asyncio.Event()
        self.cursors: list[int] = []
        self.last_seq = 0
        self._events: list[str] = []
        self._changed = asyncio.Condition()
        self._generation = 0
        self._over = False

    async def record(
        self,
        kind: str,
        op_id: str | None = None,
        turn_id: str | None = None,
        *,
        after_ms: float = 5,
        **data: Any,
    ) -> int:
        """Journal a record, `after_ms` after the last. A `…_text` becomes content behind a `…_ref`."""
        self.clock_ms += after_ms
        content: dict[str, str] = {}
        for name in [name for name in data if name.endswith("_text")]:
            field = name.removesuffix("_text") + "_ref"
            ref = f"ref_{len(self._events)}_{field}"
            content[ref], data[field] = data.pop(name), ref
        seq = self.last_seq = self.last_seq + 1
        view = {
            "seq": seq, "kind": kind, "at_ms": self.clock_ms, "session_id": self.session_id,
            "turn_id": turn_id, "op_id": op_id, "data": data, "content": content,
        }  # fmt: skip
        await self._publish(f"id: {seq}\nevent: record\ndata: {json.dumps(view)}\n\n")
        return seq

    async def text(self) -> str:
        """The next text the user typed."""
        return await asyncio.wait_for(self.texts.get(), WAIT_S)

    async def interrupted(self) -> None:
        """Wait until the page asks once more to stop the agent."""
        await asyncio.wait_for(self.interrupts.get(), WAIT_S)

    def hear(self, pcm: bytes) -> None:
        """Take a piece of the microphone."""
        self.heard += pcm
        self._heard_more.set()

    async def heard_more(self, bytes_min: int) -> None:
        """Wait until so many bytes more have come from the microphone."""
        goal = len(self.heard) + bytes_min
        async with asyncio.timeout(WAIT_S):
            while len(self.heard) < goal:
                self._heard_more.clear()
                await self._heard_more.wait()

    async def live(self, kind: str, **fields: Any) -> None:
        await self._publish(f"event: live\ndata: {json.dumps({'type': kind, **fields})}\n\n")

    async def end(self) -> None:
        self._over = True
        await self._publish("event: end\ndata: {}\n\n")

    async def drop_readers(self) -> None:
        """Break every event stream, as a network does."""
        async with self._changed:
            self._generation += 1
            self._changed.notify_all()

    async def repeat_events(self) -> None:
        """Send every event again, as a server with a wrong cursor would."""
        for event in list(self._events):
            await self._publish(event)

    async def stream(self, after: int) -> AsyncIterator[str]:
        """Events for one reader, from a cursor on."""
        generation = self._generation
        at = 0
        while at < len(self._events) and _seq_of(self._events[at]) <= after:
            at += 1
        while True:
            async with self._changed:
                while at == len(self._events) and generation == self._generation:
                    await self._changed.wait()
            if generation != self._generation:
                return
            for event in self._events[at:]:
                yield event
                at += 1
            if self._over:
                return

    async def _publish(self, event: str) -> None:
        async with self._changed:
            self._events.append(event)
            self._changed.notify_all()


def _seq_of(event: str) -> int:
    first, _, _ = event.partition("\n")
    return int(first.removeprefix("id: ")) if first.startswith("id: ") else 0
