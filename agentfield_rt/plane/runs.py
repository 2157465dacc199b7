"""The runs this process writes: one writer each, sealed when nothing in them is open any more."""

import asyncio
import logging
from collections.abc import Sequence
from weakref import WeakValueDictionary

from agentfield_journal import JournalError
from agentfield_journal.ports import Journal
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason, RunIncomplete
from agentfield_rt.observe import Observer
from agentfield_rt.plane.errors import BadRequest, Conflict
from agentfield_rt.plane.notation import is_own_run
from agentfield_rt.ports import Clock, system_clock
from agentfield_rt.run import Context, Run

log = logging.getLogger(__name__)


def require_free_name(run_id: str | None) -> None:
    """Refuse work under the name of a run that is about something else: the next process would not find it.

    Raises:
        BadRequest: it is one.
    """
    if run_id is not None and is_own_run(run_id):
        raise BadRequest(f"run {run_id} has a name that this server gives its own runs; choose another")


class Runs:
    """Opens runs and keeps them open for as long as somebody holds them.

    Args:
        observe: Told of every record that is written to one.

    Attributes:
        journal: Where they are written to.
        ended: Set when a run got its last record; whoever waits for it clears it.
    """

    def __init__(
        self, journal: Journal, *, clock: Clock = system_clock, observe: Observer | None = None
    ) -> None:
        self.journal = journal
        self._observe = observe
        self._clock = clock
        self._open: dict[str, Run] = {}
        self._holders: dict[str, int] = {}
        self._failed: dict[str, Reason] = {}
        self._cancelled: set[str] = set()
        self._aside: set[str] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._locks = WeakValueDictionary[str, asyncio.Lock]()
        self._written: set[str] | None = None
        self.ended = asyncio.Event()

    def now(self) -> float:
        """Seconds since 1970 by the clock that records are stamped with."""
        return self._clock() / 1e9

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
                run = await Run.open(self.journal, run_id, clock=self._clock, observe=self._observe)
                if run.is_sealed:
                    await run.release()
                    raise Conflict(f"run {run_id} has ended; leave the run id out to start a new one")
                self._open[run_id] = run
                if self._written is not None:
                    self._written.add(run_id)
            self._holders[run_id] = self._holders.get(run_id, 0) + 1
            return run

    async def begin(self, run_id: str) -> Run:
        """As `hold`, of a run whose name was just drawn at random: it need not be looked up.

        Raises:
            JournalConflict: the name is taken.
        """
        run = await Run.begin(self.journal, run_id, clock=self._clock, observe=self._observe)
        self._open[run_id] = run
        self._holders[run_id] = 1
        if self._written is not None:
            self._written.add(run_id)
        return run

    async def tell(self, run_id: str, told: Sequence[Record], context: Context) -> None:
        """Record what somebody tells of a run, which may have ended; durable when this returns.

        It neither begins nor ends the run: one that nobody holds stays open, or sealed, as it was.

        Raises:
            JournalError: it cannot be recorded.
        """
        async with self._lock(run_id):
            held = self._open.get(run_id)
            run = held or await Run.open(self.journal, run_id, clock=self._clock, observe=self._observe)
            try:
                cursor = run.append(told, context)
                if self._written is not None:
                    self._written.add(run_id)
            finally:
                if held is None:
                    await run.release()
        if held is not None:
            await held.durable(cursor)

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

    async def set_aside(self, run_id: str) -> None:
        """As `let_go`, but it gets no last record: another process will go on with it."""
        self._aside.add(run_id)
        await self.let_go(run_id)

    def let_go_soon(self, run_id: str, *, seal: bool = True) -> None:
        """As `let_go`, for whoever cannot wait; what goes wrong is logged.

        Args:
            seal: False: it gets no last record, another process will go on with it.
        """
        if not seal:
            self._aside.add(run_id)
        task = asyncio.create_task(self._let_go_logged(run_id), name=f"let go {run_id}")
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def all_let_go(self, *, deadline_s: float) -> None:
        """Return when all that was to be let go soon has been, or there is no more time."""
        if self._letting_go:
            await asyncio.wait(self._letting_go, timeout=deadline_s)

    async def _let_go_logged(self, run_id: str) -> None:
        try:
            await self.let_go(run_id)
        except JournalError as error:
            log.error("run %s could not be sealed: %s", run_id, type(error).__name__)

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
                if run_id not in self._aside:
                    await run.seal(self._last(run))
            except RunIncomplete as error:
                log.error("%s", error)
            finally:
                self._aside.discard(run_id)
                await run.release()
            self.ended.set()

    def _last(self, run: Run) -> Record:
        reason = self._failed.pop(run.run_id, None)
        cancelled = run.run_id in self._cancelled or not run.head.seq  # of an empty run nothing came
        self._cancelled.discard(run.run_id)
        if reason is not None:
            return records.RunFailed(reason=reason)
        return records.RunCancelled() if cancelled else records.RunCompleted()
