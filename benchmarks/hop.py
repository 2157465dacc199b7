"""The unit of the session benchmarks: one item from a task to another over a bare `asyncio.Queue`.

CPU seconds of the thread, so that other work on the machine is not measured.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

HOPS = 10_000


async def hop_s() -> float:
    """CPU seconds for one item, one in flight: two tasks in a ring, so a turn is two hops."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def echo() -> None:
        while True:
            back.put_nowait(await there.get())

    task = asyncio.create_task(echo())
    began_s = time.thread_time()
    for number in range(HOPS // 2):
        there.put_nowait(number)
        await back.get()
    took_s = time.thread_time() - began_s
    task.cancel()
    return took_s / HOPS


async def each_s(event: Callable[[], Awaitable[object]], times: int) -> float:
    """CPU seconds for one event, once it has happened often enough that nothing is new."""
    for _ in range(200):
        await event()
    began_s = time.thread_time()
    for _ in range(times):
        await event()
    return (time.thread_time() - began_s) / times
