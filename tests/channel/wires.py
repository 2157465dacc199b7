"""Wires in memory: two ends that a test can cut, and a dialer that reaches a fleet without a socket."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agentfield_rt.channel.delivery import ProtocolBroken
from agentfield_rt.channel.frame import encode_frame, encode_message, frames_to_plane
from agentfield_rt.channel.to_agent import Refused
from agentfield_rt.channel.to_plane import Hello
from agentfield_rt.channel.wire import WireLost
from agentfield_rt.plane.channel.fleet import Fleet
from agentfield_rt.plane.errors import Busy, PlaneError


class MemoryWire:
    """One end; what is sent here is received at `other`. A cut loses what is on its way."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[str | None] = asyncio.Queue()
        self.other: MemoryWire = self
        self.is_cut = False
        self.sent = 0
        self.is_held = False
        self._held: list[str] = []

    async def send(self, frame: str) -> None:
        if self.is_cut:
            raise WireLost("cut")
        self.sent += 1
        if self.is_held:
            self._held.append(frame)
        else:
            self.other.frames.put_nowait(frame)

    def release(self) -> None:
        """What was held goes on its way."""
        self.is_held = False
        for frame in self._held:
            self.other.frames.put_nowait(frame)
        self._held.clear()

    async def receive(self) -> str | bytes:
        frame = await self.frames.get()
        if frame is None:
            raise WireLost("cut")
        return frame

    async def close(self, reason: str) -> None:
        self.cut()

    def cut(self) -> None:
        """Both ends lose it, with everything that was not received."""
        for end in (self, self.other):
            if not end.is_cut:
                end.is_cut = True
                while not end.frames.empty():
                    end.frames.get_nowait()
                end.frames.put_nowait(None)


def wire_pair() -> tuple[MemoryWire, MemoryWire]:
    """Two ends of one wire."""
    here, there = MemoryWire(), MemoryWire()
    here.other, there.other = there, here
    return here, there


class MemoryDialer:
    """Reaches `fleet`, which may be replaced by that of another plane; None: nobody answers.

    Attributes:
        wires: The agent's ends, the newest last.
        is_held: What the plane says on the next wires does not arrive until it is released there.
    """

    def __init__(self, fleet: Fleet | None) -> None:
        self.fleet = fleet
        self.is_held = False
        self.wires: list[MemoryWire] = []
        self._serving: set[asyncio.Task[None]] = set()

    async def __call__(self, url: str, *, headers: dict[str, str], frame_bytes_max: int) -> MemoryWire:
        if self.fleet is None:
            raise WireLost("nobody answers")
        here, there = wire_pair()
        there.is_held = self.is_held
        self.wires.append(here)
        self._spawn(serve(self.fleet, there))
        return here

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """Cut every wire and wait until the plane has noticed."""
        for wire in self.wires:
            wire.cut()
        while self._serving:
            await asyncio.wait(tuple(self._serving))


async def serve(fleet: Fleet, wire: MemoryWire) -> None:
    """What the websocket's endpoint does."""
    try:
        hello = frames_to_plane(await wire.receive()).message
        assert isinstance(hello, Hello)
        await fleet.connect(hello, wire)
        await wire.close("done")
    except PlaneError as error:
        refused = Refused(error=str(error), retryable=isinstance(error, Busy))
        await wire.send(encode_frame(encode_message(refused)))
    except (WireLost, ProtocolBroken):
        await wire.close("lost")


async def until(holds: Callable[[], bool]) -> None:
    """Let everything happen that waits for nothing but its turn, until `holds`."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not happen")
