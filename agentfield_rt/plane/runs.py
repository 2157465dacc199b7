"""The runs this process writes: one writer each, sealed when nothing in them is open any more."""

import asyncio

from agentfield_journal.ports import Journal
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.plane.errors import Conflict
from agentfield_rt.ports import Clock, system_clock
from agentfield_rt.run import Context, Run

_LAST_KINDS = frozenset({records.RunCompleted.kind, records.RunFailed.kind})


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
        self._lock = asyncio.Lock()
        self._written: set[str] = set()
        self.ended = asyncio.Event()

    async def hold(self, run_id: str) -> Run:
        """The run, open for writing until `let_go` was called as often as this.

        Raises:
            Conflict: the run has ended; its last record is written.
        """
        async with self._lock:
            run = self._open.get(run_id)
            if run is None:
                run = await Run.open(self._journal, run_id, clock=self._clock)
                await self._refuse_ended(run)
                self._open[run_id] = run
                self._written.add(run_id)
            self._holders[run_id] = self._holders.get(run_id, 0) + 1
            return run

    async def _refuse_ended(self, run: Run) -> None:
        last = await self._journal.read(run.run_id, after=max(run.head.seq - 1, 0))
        if last and last[-1].kind in _LAST_KINDS:
            await run.release()
            raise Conflict(f"run {run.run_id} has ended; leave the run id out to start a new one")

    def fail(self, run_id: str, reason: Reason) -> None:
        """Something in the run did not end as it should; its last record will say so."""
        self._failed.setdefault(run_id, reason)

    def take_written(self) -> list[str]:
        """The runs that may have grown since this was last asked."""
        written = sorted(self._written)
        self._written = set(self._open)
        return written

    async def let_go(self, run_id: str) -> None:
        """Done with it. The last to go writes the run's last record and gives it up."""
        async with self._lock:
            self._holders[run_id] -= 1
            if self._holders[run_id]:
                return
            del self._holders[run_id]
            run = self._open.pop(run_id)
            reason = self._failed.pop(run_id, None)
            last: Record = records.RunCompleted() if reason is None else records.RunFailed(reason=reason)
            run.append([last], Context())
            await run.release()
            self.ended.set()
