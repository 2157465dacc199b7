"""What a process that answers the calls of `benchmarks.webrtc_calls` does: answer, count, measure itself.

Lines of JSON: `{"offer": sdp}` is answered with `{"answer": sdp}`, `{"measure_s": 5}` with a `Load`.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypedDict

LINE_BYTES_MAX = 1 << 20
TICK_S = 0.01


class Load(TypedDict):
    """What the calls that are going on cost.

    Attributes:
        cpu_s: Of this process, all its threads, in a second.
        heard_frames: Frames of 20 ms decoded in a second, of all calls together.
        late_ms: By how much the loop was late for a timer, 99th percentile.
    """

    cpu_s: float
    heard_frames: float
    late_ms: float


class Server(Protocol):
    """A framework's end of the calls."""

    @property
    def heard_frames(self) -> float: ...

    async def answer(self, offer: str) -> str: ...


async def measured(server: Server, duration_s: float) -> Load:
    """Measure a while of what is going on anyway."""
    cpu_s, began_s, heard = _cpu_s(), time.perf_counter(), server.heard_frames
    late_s: list[float] = []
    while time.perf_counter() - began_s < duration_s:
        slept_at = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late_s.append(time.perf_counter() - slept_at - TICK_S)
    took_s = time.perf_counter() - began_s
    return Load(
        cpu_s=(_cpu_s() - cpu_s) / took_s,
        heard_frames=(server.heard_frames - heard) / took_s,
        late_ms=sorted(late_s)[len(late_s) * 99 // 100] * 1e3,
    )


def main(started: Callable[[], Awaitable[Server]]) -> None:
    """Serve on standard input and output until the input ends, on the core that the first argument names."""
    os.sched_setaffinity(0, {int(sys.argv[1])})

    async def run() -> None:
        server = await started()
        lines = asyncio.StreamReader(LINE_BYTES_MAX)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := await lines.readline():
            asked = json.loads(line)
            said: object
            if "offer" in asked:
                said = {"answer": await server.answer(asked["offer"])}
            else:
                said = await measured(server, asked["measure_s"])
            print(json.dumps(said), flush=True)
        os._exit(0)  # a hundred calls are not hung up one by one

    asyncio.run(run())


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
