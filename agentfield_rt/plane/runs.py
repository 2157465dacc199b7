"""The runs this process writes: one writer each, sealed when nothing in them is open any more."""

import asyncio
import logging
from weakref import WeakValueDictionary

from agentfield_journal.ports import Journal
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason, RunIncomplete
from agentfield_rt.plane.errors import Conflict
from agentfield_rt.ports import Clock, system_clock
from agentfield_rt.run import Run

log = logging.getLogger(__name__)


class Runs:
    """Opens runs and keeps them open for as long as somebody holds them.

    Attributes:
        ended: Set when a run got its last record; whoever waits for it clears it.
    """

    def __init__(self, journal: Journal, *, clock: Clock = system_clock) -> None:
        self._journal = journal
        self._clock = clock
        self._open: dict[str, Run] = {}
        self._holders: dict[str, int] = {}
        self._failed: dict[str, Reason] = {}
        self._cancelled: set[str] = set()
        self._locks = WeakValueDictionary[str, asyncio.Lock]()
        self._written: set[str] | None = None
        self.ended = asyncio.Event()

    def _lock(self, run_id: str) -> asyncio.Lock:
        """One for each run: while a long one is sealed, others begin and end."""
        return self._locks.setdefault(run_id, asyncio.Lock())

    async def hold(self, run_id: str) -> Run:
        """The run, open for writing until `let_go` was called as often as this.

        Raises:
            Conflict: the run has ended; its last record is written.
        """
        async with self._lock(run_id):
            run = self._open.get(run_id)
            if run is None:
                run = await Run.open(self._journal, run_id, clock=self._clock)
                if run.is_sealed:
                    await run.release()
                    raise Conflict(f"run {run_id} has ended; leave the run id out to start a new one")
                self._open[run_id] = run
                if self._written is not None:
                    self._written.add(run_id)
            self._holders[run_id] = self._holders.get(run_id, 0) + 1
            return run

    def fail(self, run_id: str, reason: Reason) -> None:
        """Something in the run did not end as it should; its last record will say so."""
        self._failed.setdefault(run_id, reason)

    def cancel(self, run_id: str) -> None:
        """The run was ended from outside; its last record will say so, unless something in it failed."""
        self._cancelled.add(run_id)

    def take_written(self) -> list[str]:
        """The runs that may have grown since this was last asked; from the first time on they are noted."""
        written = sorted(self._written or ())
        self._written = set(self._open)
        return written

    async def let_go(self, run_id: str) -> None:
        """Done with it. The last to go writes the run's last record and gives it up.

        A run in which something is still open gets none: whoever opens it again finds it as it is.
        """
        async with self._lock(run_id):
            self._holders[run_id] -= 1
            if self._holders[run_id]:
                return
            del self._holders[run_id]
            run = self._open.pop(run_id)
            try:
                await run.seal(self._last(run))
            except RunIncomplete as error:
                log.error("%s", error)
            finally:
                await run.release()
            self.ended.set()

    def _last(self, run: Run) -> Record:
        reason = self._failed.pop(run.run_id, None)
        cancelled = run.run_id in self._cancelled or not run.head.seq  # of an empty run nothing came
        self._cancelled.discard(run.run_id)
        if reason is not None:
            return records.RunFailed(reason=reason)
        return records.RunCancelled() if cancelled else records.RunCompleted()
