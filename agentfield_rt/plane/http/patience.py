"""How long bodies are waited for: one timer for all of them, as nearly every body has come already.

A timer for each cost a request to a hot route a tenth of what it took.
"""

import asyncio
from typing import Any

from starlette.types import Message, Receive


class TooSlow(Exception):
    """A body did not come in time."""


class Patience:
    """Bodies that are waited for, and until when."""

    def __init__(self) -> None:
        self._ends_at: dict[asyncio.Task[Any], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def receive(self, receive: Receive, *, ends_at: float) -> Message:
        """What `receive` gives, if it does by `ends_at` of the loop's clock.

        Raises:
            TooSlow: it did not.
        """
        task = asyncio.current_task()
        assert task is not None
        self._ends_at[task] = ends_at
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop or ends_at < self._timer.when():
            self._loop, self._timer = loop, loop.call_at(ends_at, self._look, loop)
        try:
            return await receive()
        except asyncio.CancelledError:
            if task not in self._ends_at and task.uncancel() == 0:
                raise TooSlow from None
            raise
        finally:
            self._ends_at.pop(task, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up what is overdue; look again when the next one will be."""
        now = loop.time()
        for task, ends_at in list(self._ends_at.items()):
            if ends_at <= now:
                del self._ends_at[task]
                task.cancel()
        next_at = min(self._ends_at.values(), default=None)
        self._timer = None if next_at is None else loop.call_at(next_at, self._look, loop)
