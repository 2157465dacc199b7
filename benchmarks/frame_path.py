"""What a frame costs: one operation (intent, call, outcome, both chained) against a bare queue hop.

Both in this run, one in flight at a time; the journal is in memory, so the disk is not counted.
"""

import asyncio
import statistics
import time

from agentfield_journal import open_journal
from agentfield_rt import RealtimeSessionController, Run
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import FRAME_BYTES, AudioFrame, InputFrame, ProviderEvent
from agentfield_rt.ports import Connection, ConnectRequest

FRAMES = 5_000
ROUNDS = 7


class BareAdapter:
    """Takes everything and does nothing, so that only controller and journal are measured."""

    async def connect(self, request: ConnectRequest) -> Connection:
        return Connection(session_id=request.session_id, connection_id="connection-1")

    async def send(self, frame: InputFrame) -> None:
        pass

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        return ()

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        pass

    async def restart(self, request: ConnectRequest) -> Connection:
        return await self.connect(request)

    async def close(self, reason: CloseReason) -> None:
        pass


async def frame_us(run: Run, round_number: int) -> float:
    """Microseconds for one frame through controller and journal."""
    controller = RealtimeSessionController(BareAdapter(), run, session_id=f"session-{round_number}")
    await controller.connect()
    pcm = bytes(FRAME_BYTES)
    started = time.perf_counter()
    for number in range(FRAMES):
        await controller.send(AudioFrame(f"frame-{number}", pcm))
    took = time.perf_counter() - started
    await controller.close()
    return took / FRAMES * 1e6


async def hop_us() -> float:
    """Microseconds for one item through two asyncio queues and back, halved."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def echo() -> None:
        while True:
            await back.put(await there.get())

    task = asyncio.create_task(echo())
    started = time.perf_counter()
    for number in range(FRAMES):
        await there.put(number)
        await back.get()
    took = time.perf_counter() - started
    task.cancel()
    return took / FRAMES / 2 * 1e6


async def main() -> None:
    frames: list[float] = []
    hops: list[float] = []
    for round_number in range(ROUNDS):
        async with open_journal("memory:") as journal:
            frames.append(await frame_us(await Run.open(journal, "run-1"), round_number))
        hops.append(await hop_us())
    frame, hop = statistics.median(frames), statistics.median(hops)
    print(f"one frame, intent and outcome  {frame:6.1f} µs   (bar: 40)")
    print(f"bare asyncio.Queue hop         {hop:6.1f} µs")
    print(f"ratio                          {frame / hop:6.1f}")


if __name__ == "__main__":
    asyncio.run(main())
