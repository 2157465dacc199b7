"""What the controller adds to a frame: in a window, where it flows, and as an operation of its own.

    python benchmarks/frame_path.py

The adapter takes everything at once and does nothing. A frame in a window is counted, digested and handed
over; every 300 of them share two records. An operation of one frame is an intent, the call and an outcome,
both records encoded and chained by hash. The disk is not counted: it acknowledges at once. The last line has
the wait for a group commit in it, which costs two turns of the event loop even where there is no disk.

CPU seconds, one frame in flight; a ratio to a bare queue hop is the median over rounds that measure both.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from functools import partial

from agentfield_journal import open_journal
from agentfield_journal.codec import genesis
from agentfield_journal.remembered import Remembered
from agentfield_journal.stores.port import Batch, Claim
from agentfield_journal.writer import StoreRunWriter
from agentfield_rt import RealtimeSessionController, Run
from agentfield_rt.controller import EACH, BoundarySettings, Windows
from agentfield_rt.frames import AudioFrame
from benchmarks.hop import each_s, hop_s
from benchmarks.voice_call import SILENCE, BareAdapter

FRAMES = 5_000
ROUNDS = 9
RUN_ID = "run_0123456789abcdef"


def run_without_disk() -> Run:
    """Records are durable as soon as they are handed over, and gone."""

    def acknowledge(batch: Batch, _: bool) -> None:
        writer.acknowledge(batch.rows[-1][1])

    claim = Claim(run=0, epoch=1, seq=0, hash=genesis(RUN_ID))
    writer = StoreRunWriter(RUN_ID, claim, seen=Remembered(), submit=acknowledge, forget=lambda _: None)
    return Run(writer)


async def through_s(run: Run, windows: Windows, frames: int) -> float:
    """CPU seconds for one frame through controller and journal."""
    settings = BoundarySettings(windows=windows)
    controller = RealtimeSessionController(BareAdapter(), run, session_id="session-1", settings=settings)
    await controller.connect()
    frame = AudioFrame("frame-1", SILENCE)
    took_s = await each_s(partial(controller.send, frame), frames)
    await controller.close()
    return took_s


async def without_disk_s(windows: Windows, frames: int) -> float:
    return await through_s(run_without_disk(), windows, frames)


async def in_memory_s(windows: Windows, frames: int) -> float:
    async with open_journal("memory:") as journal:
        return await through_s(await Run.open(journal, RUN_ID), windows, frames)


CASES: tuple[tuple[str, Callable[[int], Awaitable[float]], float | None], ...] = (
    ("a frame in a window", partial(without_disk_s, Windows()), 0.5),
    ("an operation of one frame", partial(without_disk_s, EACH), 4.0),
    ("the same, with a group commit", partial(in_memory_s, EACH), None),
)


async def main(frames: int = FRAMES, rounds: int = ROUNDS) -> None:
    hops_s: list[float] = []
    costs_s: dict[str, list[float]] = {name: [] for name, _, _ in CASES}
    for _ in range(rounds):
        hops_s.append(await hop_s())
        for name, cost_s, _ in CASES:
            costs_s[name].append(await cost_s(frames))
    print(f"{'bare asyncio.Queue hop':<30} {statistics.median(hops_s) * 1e6:6.2f} µs")
    for name, _, bar in CASES:
        ratio = statistics.median(cost / hop for cost, hop in zip(costs_s[name], hops_s, strict=True))
        told = f"   (bar: {bar})" if bar else ""
        print(f"{name:<30} {statistics.median(costs_s[name]) * 1e6:6.2f} µs  {ratio:5.2f} hops{told}")


if __name__ == "__main__":
    asyncio.run(main())
