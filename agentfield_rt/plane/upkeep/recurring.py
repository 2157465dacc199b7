"""Something done now and then while a block runs. Knows nothing of what it is."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

_PAUSE_S = 1.0  # what wakes comes in bursts: once for all of them


@asynccontextmanager
async def recurring(
    job: Callable[[], Awaitable[None]], *, every_s: float, wake: asyncio.Event | None = None
) -> AsyncGenerator[None]:
    """Do `job` at once, then every `every_s` and soon after `wake` was set; `job` clears that.

    The end waits for a job that has begun: what it writes is whole.
    """
    stop = asyncio.Event()
    wake = wake or asyncio.Event()

    async def repeat() -> None:
        while not stop.is_set():
            await job()
            await _wait(stop, min(_PAUSE_S, every_s))
            if not stop.is_set():
                await _wait(wake, every_s)

    task = asyncio.create_task(repeat(), name=f"recurring {job.__qualname__}")
    try:
        yield
    finally:
        # Not by cancelling: a wait that is over at the same moment would swallow that (CPython 3.11).
        stop.set()
        wake.set()
        await task


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
