"""An adapter call that does not hear that it is cancelled."""

import asyncio
import contextlib

DEAF_S = 5.0


async def deaf(frame: object) -> None:
    """Takes five seconds, whatever happens meanwhile."""
    answered = asyncio.Event()
    asyncio.get_running_loop().call_later(DEAF_S, answered.set)
    while not answered.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await answered.wait()
