"""Who follows a run live, and when each has to look for new records again. Reads none of them itself."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from agentfield_journal.errors import JournalError


class Tails:
    """The tails of one journal, on its event loop.

    Args:
        changes: Gives a number that differs after another process committed; None where none can.
        poll_s: How often it is asked while there is a tail.
    """

    def __init__(self, changes: Callable[[], Awaitable[int]] | None, *, poll_s: float) -> None:
        self._changes = changes
        self._poll_s = poll_s
        self._by_run: dict[str, set[asyncio.Event]] = {}
        self._poller: asyncio.Task[None] | None = None

    @contextmanager
    def following(self, run_id: str) -> Generator[asyncio.Event]:
        """An event that is set whenever the run may have grown. Call `watch` before each look."""
        changed = asyncio.Event()
        self._by_run.setdefault(run_id, set()).add(changed)
        try:
            yield changed
        finally:
            self._by_run[run_id].discard(changed)
            if not self._by_run[run_id]:
                del self._by_run[run_id]

    def watch(self) -> None:
        """See to it that other processes are watched, if there can be any."""
        if self._poller is None and self._changes is not None:
            self._poller = asyncio.create_task(self._poll(self._changes), name="journal-poll")

    async def _poll(self, changes: Callable[[], Awaitable[int]]) -> None:
        version = -1
        try:
            while self._by_run:
                latest = await changes()
                if latest != version:
                    version = latest
                    self.wake_all()
                await asyncio.sleep(self._poll_s)
        except JournalError:
            """The tails look once more: they meet the same error there, or begin to watch again."""
        finally:
            self._poller = None
            self.wake_all()

    def wake(self, run_id: str) -> None:
        for tail in self._by_run.get(run_id, ()):
            tail.set()

    def wake_all(self) -> None:
        for run_id in self._by_run:
            self.wake(run_id)

    def stop(self) -> None:
        """Nothing changes any more: every tail looks for the last time."""
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None
        self.wake_all()
