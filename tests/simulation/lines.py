"""A line: session after session, each in a run of its own, whatever becomes of the processes they are in."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from agentfield_journal import JournalConflict, JournalError, QueuedContentStore
from agentfield_journal.content.store import MemoryContent
from agentfield_rt.approvals import Approvals
from agentfield_rt.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.core.lifecycle import TERMINAL
from agentfield_rt.core.records import Decision, Limits, RunCompleted, RunFailed
from agentfield_rt.deliveries import Deliveries
from agentfield_rt.errors import (
    GateOverflow,
    IllegalCommand,
    ProviderError,
    RealtimeError,
    Reason,
    RepairNeeded,
    RunIncomplete,
    SessionClosed,
)
from agentfield_rt.recovery import Recovery, end_run, history, open_session
from agentfield_rt.run import Run
from agentfield_rt.testing import time_passes
from tests.simulation.options import Options
from tests.simulation.outside import Outside
from tests.simulation.process import Process

REFUSED = (IllegalCommand, RepairNeeded, GateOverflow, ProviderError, SessionClosed, JournalError)
TRIES_MAX = 40
SESSION_MEAN_S = 900.0


class RunBook:
    """A run and what happened outside of the runtime for it."""

    def __init__(self, run_id: str, outside: Outside) -> None:
        self.run_id = run_id
        self.session_id = f"session-of-{run_id}"
        self.outside = outside
        self.begun = False


class Line(ABC):
    """One line.

    Attributes:
        books: Its runs, the one that goes on last.
        session_s: How long its sessions have lived.
    """

    kind: str

    def __init__(self, number: int, options: Options) -> None:
        self.name = f"{self.kind}-{number}"
        self.options = options
        self.chance = random.Random(f"{options.seed} {self.name}")
        self.books: list[RunBook] = []
        self.current: RunBook | None = None
        self.session_s = 0.0
        self.content = QueuedContentStore(MemoryContent())
        self.calm = False

    @property
    def settings(self) -> BoundarySettings:
        options = self.options
        limits = Limits(
            policy=options.policy,
            high_water=options.high_water,
            low_water=options.low_water,
            restarts_max=10_000,
        )
        return BoundarySettings(limits=limits)

    def be_calm(self) -> None:
        """Nothing outside goes wrong any more."""
        self.calm = True
        for book in self.books:
            book.outside.calm = True

    async def live(self, process: Process) -> None:
        """Sessions, one after the other, until the process shall finish; what a dead one left comes first."""
        if self.current is not None:
            await self._take_over(process, self.current)
        while not (process.finishing.is_set() or process.superseded):
            book = self.current = self._new_book()
            ended = await self._try(process, self._session(process, book))
            if not (ended or process.superseded):
                await self._end_run(process, book)
            if process.superseded:
                return  # what is current now is another's
            self.current = None
            await time_passes(self.chance.uniform(0.1, 5))

    def _new_book(self) -> RunBook:
        chance = random.Random(self.chance.random())
        outside = Outside(self.options, chance)
        outside.calm = self.calm
        book = RunBook(f"{self.name}-run-{len(self.books)}", outside)
        self.books.append(book)
        return book

    async def _try(self, process: Process, work: Coroutine[Any, Any, bool]) -> bool:
        """Whether it came to its end; what is refused is noted."""
        try:
            return await work
        except JournalConflict:
            process.note("lease lost")
            assert process.superseded, "fenced, and nobody has taken over"
        except REFUSED as refusal:
            process.note(type(refusal).__name__)
        return False

    @abstractmethod
    async def _session(self, process: Process, book: RunBook) -> bool:
        """A whole session; returns whether its run is sealed."""

    async def _take_over(self, process: Process, book: RunBook) -> None:
        """Go on with what another process left, or give it up."""
        if book.begun and self.chance.random() < 0.6:
            await self._try(process, self._recover(process, book))
        if not process.superseded:
            await self._end_run(process, book)
        if not process.superseded:
            self.current = None

    async def _recover(self, process: Process, book: RunBook) -> bool:
        adapter, _ = book.outside.adapter(process)
        controller = await open_session(
            process.journal,
            book.run_id,
            adapter,
            session_id=book.session_id,
            recovery=Recovery(settings=self.settings),
        )
        process.note("a session was recovered")
        try:
            before = await history(process.journal, book.run_id, session_id=book.session_id)
            await self._settle_features(controller.run, book, before, process)
            await self._go_on(process, book, controller)
        finally:
            with suppress(*REFUSED):
                await hang_up(controller)
            with suppress(JournalError):
                await controller.run.release()
        return False

    async def _settle_features(self, run: Run, book: RunBook, before: list[Any], process: Process) -> None:
        """Approvals and deliveries of the dead process; the receiver is asked what arrived."""
        approvals = Approvals(run, self.content, session_id=book.session_id, history=before)
        deliveries = Deliveries(run, self.content, session_id=book.session_id, history=before)
        await approvals.recover()
        for delivery in await deliveries.recover():
            arrived = book.outside.arrived[delivery.request.dedupe_key]
            await deliveries.reconcile(
                delivery.request.op_id, Decision.DONE if arrived else Decision.NOT_DONE
            )
            process.note("a delivery was reconciled after its process died")
        await approvals.close()

    @abstractmethod
    async def _go_on(self, process: Process, book: RunBook, controller: RealtimeSessionController) -> None:
        """What its new owner does with a recovered session."""

    async def _end_run(self, process: Process, book: RunBook) -> None:
        """Nobody goes on with it: it is brought to its end, however often that must be tried."""
        for _ in range(TRIES_MAX):
            try:
                if await end_run(process.journal, book.run_id):
                    process.note("a run was ended without its session")
                return
            except REFUSED as refusal:
                process.note(f"end_run: {type(refusal).__name__}")
                if process.journal.has_failed or process.superseded:
                    return  # the next process does it
                await time_passes(2)
        raise AssertionError(f"{book.run_id} cannot be ended")

    async def _until_over(self, process: Process, *over: asyncio.Event) -> None:
        """Wait until the session's time is over, or something says that it is over."""
        waits = [asyncio.ensure_future(event.wait()) for event in (process.finishing, *over)]
        started_s = asyncio.get_running_loop().time()
        try:
            await asyncio.wait(
                waits,
                timeout=self.chance.expovariate(1 / SESSION_MEAN_S),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self.session_s += asyncio.get_running_loop().time() - started_s
            for wait in waits:
                wait.cancel()


async def seal(run: Run, *, failed: bool) -> bool:
    """Write the run's last record, if it may have one."""
    try:
        await run.seal(RunFailed(reason=Reason.UNAVAILABLE) if failed else RunCompleted())
        return True
    except RunIncomplete:
        await run.seal(RunFailed(reason=Reason.UNAVAILABLE))
        return True
    finally:
        with suppress(JournalError):
            await run.release()


async def hang_up(controller: RealtimeSessionController) -> None:
    """Close, as a host does that wants to know that it is closed.

    Raises:
        RealtimeError, JournalError: the last refusal.
    """
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            await controller.close()
        except JournalConflict:
            raise
        except (RealtimeError, JournalError):
            if not tries_left:
                raise
            await time_passes(1)
        if controller.state.phase in TERMINAL:
            break
    for op_id in list(controller.state.unknown):
        controller.reconcile(op_id, Decision.ABANDONED)
    await controller.durable()
