"""What every peer's process does: measure an event or idle sessions, and print it as JSON."""

import asyncio
import gc
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypedDict

from benchmarks.hop import hop_s

IDLE_WARM = 20
"""Sessions made before any is counted: what a first one loads or allocates for all is no session's."""


class Measured(TypedDict):
    """CPU seconds, one for each round."""

    hops_s: list[float]
    events_s: list[float]


class Kept(Protocol):
    """What keeps so many sessions alive."""

    async def __call__(self, sessions: int, /) -> object: ...


async def measured(event_s: Callable[[], Awaitable[float]], rounds: int) -> Measured:
    """Hop and event in turn, so that both see the machine in the same state."""
    result = Measured(hops_s=[], events_s=[])
    for _ in range(rounds):
        result["hops_s"].append(await hop_s())
        result["events_s"].append(await event_s())
    return result


async def idle_bytes(keep: Kept, sessions: int) -> float:
    """How much the process grows by each of `sessions`."""
    warm = await keep(IDLE_WARM)
    before_bytes = _resident_bytes()
    kept = await keep(sessions)
    each_bytes = (_resident_bytes() - before_bytes) / sessions
    del warm, kept
    return each_bytes


def _resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main(event_s: Callable[[int], Awaitable[float]], keep: Kept) -> None:
    """`event EVENTS ROUNDS` or `idle SESSIONS`, as `benchmarks.peers.process` asks for it."""
    what, amount, *rest = sys.argv[1:]

    async def answer() -> None:
        if what == "event":
            print(json.dumps(await measured(lambda: event_s(int(amount)), int(rest[0]))))
        else:
            print(json.dumps(await idle_bytes(keep, int(amount))))
        sys.stdout.flush()
        os._exit(0)  # thousands of sessions are not hung up one by one

    asyncio.run(answer())
