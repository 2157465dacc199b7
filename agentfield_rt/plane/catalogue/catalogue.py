"""What was ever run here, to look up and to list: a projection of the journal that follows every commit.

Nothing is true because it stands here. The file may be deleted; it is made anew from the journal.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from agentfield_journal import JournalCorrupt, JournalError, StoreJournal
from agentfield_journal.engine import is_own_run
from agentfield_journal.positions import position_of, runs_since
from agentfield_journal.stores.port import Batch
from agentfield_rt.plane.catalogue.listing import ALL, Filters, Listing
from agentfield_rt.plane.catalogue.projection import Projection
from agentfield_rt.plane.catalogue.rows import ExecutionRow, NoteRow, Page, RowT, RunRow, SessionRow, TurnRow
from agentfield_rt.plane.errors import Busy

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

WAITING_RECORDS_MAX = 20_000
"""Records handed over and not yet folded; what comes on top of them is read from the journal later."""

GATHER_S = 0.25
"""How long commits are gathered to be folded together; whoever reads does not wait for it."""

READ_WAIT_MAX_S = 10.0
RETRY_S = 5.0
MARK_EVERY_S = 10.0
"""How much of its work a catalogue looks over again whose process was killed."""

_PAGE_RECORDS = 2_000
_PAGE_RUNS = 500
NODES_MAX = 10_000
"""Executions and turns of a run that one answer holds."""


class Catalogue:
    """Follows a journal and answers; use it on the loop of that journal.

    What is durable when a question is asked is in its answer.

    Args:
        projection: Used by the catalogue's own thread only, from now on.
    """

    def __init__(self, journal: StoreJournal, projection: Projection) -> None:
        self._journal = journal
        self._projection = projection
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._waiting: list[Batch] = []
        self._waiting_records = 0
        self._timer: asyncio.TimerHandle | None = None
        self._behind = False
        self._catching_up: asyncio.Task[None] | None = None
        self._closed = False
        self._has_folded = False
        self._is_whole = True
        self._marking = asyncio.create_task(self._mark_now_and_then(), name="catalogue-mark")

    @property
    def is_behind(self) -> bool:
        """Whether it must read in the journal what it was told too fast, or could not write down."""
        return self._behind

    def hand_over(self, group: Sequence[Batch]) -> None:
        """Take what became durable. Called by the journal; never blocks, waits or raises."""
        if self._closed:
            return
        for batch in group:
            if is_own_run(batch.run_id):
                continue
            if self._waiting_records + len(batch.rows) > WAITING_RECORDS_MAX:
                self._fall_behind()
                continue
            self._waiting_records += len(batch.rows)
            self._waiting.append(batch)
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self._fold)

    def _fold(self) -> None:
        """Give what waits to the thread; what is asked after this is answered with it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._has_folded = True
            waiting, self._waiting = self._waiting, []
            records_total = sum(len(batch.rows) for batch in waiting)
            folded = self._thread.submit(self._projection.apply, waiting)
            folded.add_done_callback(
                lambda done: self._loop.call_soon_threadsafe(self._folded, done, records_total)
            )

    def _folded(self, done: Future[bool], records_total: int) -> None:
        self._waiting_records -= records_total
        if (error := done.exception()) is not None:
            log.error("the catalogue could not be written: %s", type(error).__name__)
        if error is not None or not done.result():
            self._fall_behind()

    def _fall_behind(self) -> None:
        self._behind = True
        if self._catching_up is None and not self._closed:
            self._catching_up = asyncio.create_task(self._catch_up(), name="catalogue-catch-up")

    async def _catch_up(self) -> None:
        """Read until nothing is missing. What cannot be done now is tried again, however long that takes."""
        try:
            while self._behind:
                self._behind = False
                try:
                    await self.read_journal()
                except (JournalError, apsw.Error) as error:
                    self._behind = True
                    if self._closed:
                        return
                    log.error("the catalogue is behind the journal: %s", type(error).__name__)
                    await asyncio.sleep(RETRY_S)
        finally:
            self._catching_up = None

    async def read_journal(self) -> None:
        """Read what is missing: of the runs that have grown since the last mark, without one of all.

        Raises:
            JournalUnavailable: the journal is closed or failed.
        """
        position = await position_of(self._journal)  # what comes after it is handed over, or read again
        mark = await self._in_thread(self._projection.mark)
        run_ids = None if mark is None else await runs_since(self._journal, mark)
        if run_ids is None:
            run_ids = await self._journal.run_ids()
            await self._in_thread(partial(self._projection.keep_only, run_ids))
        self._is_whole = True
        for start in range(0, len(run_ids), _PAGE_RUNS):
            heads = await self._journal.heads_of(run_ids[start : start + _PAGE_RUNS])
            stale = await self._in_thread(partial(self._projection.stale, heads))
            for run_id, after in stale.items():
                try:
                    await self._read_run(run_id, after)
                except JournalCorrupt as error:
                    self._is_whole = False  # no mark passes it: it may be repaired
                    log.error("the catalogue knows run %s up to its damage: %s", run_id, error)
        if self._is_whole and position is not None:
            await self._in_thread(partial(self._projection.set_mark, position))

    async def _read_run(self, run_id: str, after: int) -> None:
        while rows := await self._journal.read_rows(run_id, after=after, limit=_PAGE_RECORDS):
            after = await self._in_thread(partial(self._projection.extend, run_id, rows))

    async def _set_mark(self) -> None:
        """Note up to where all is folded, so that the next start reads what comes after that, and no more.

        Raises:
            JournalError: the journal does not say how far it is; the mark stays where it was.
        """
        position = await position_of(self._journal)
        self._fold()
        await self._in_thread(bool)  # what the thread was given before is folded, and we know how that went
        is_up_to_date = self._is_whole and not self._behind and self._catching_up is None
        if is_up_to_date and position is not None:
            await self._in_thread(partial(self._projection.set_mark, position))

    async def _mark_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(MARK_EVERY_S)
            if self._has_folded:
                self._has_folded = False
                with suppress(JournalError, apsw.Error):
                    await self._set_mark()

    async def _in_thread(self, job: Callable[[], ResultT]) -> ResultT:
        return await self._loop.run_in_executor(self._thread, job)

    async def read(self, query: Callable[[Projection], ResultT]) -> ResultT:
        """Answer from the file, with everything that is durable by now. A long `query` holds up others.

        Raises:
            Busy: the catalogue is behind, and does not catch up in time.
        """
        if (catching_up := self._catching_up) is not None:
            try:
                async with asyncio.timeout(READ_WAIT_MAX_S):
                    await asyncio.shield(catching_up)
            except TimeoutError:
                raise Busy("the catalogue is behind the journal; try again later") from None
        self._fold()
        return await self._in_thread(partial(query, self._projection))

    async def close(self) -> None:
        """Fold what was handed over, and give the file up. Idempotent."""
        if self._closed:
            return
        self._marking.cancel()
        await asyncio.wait([self._marking])
        with suppress(JournalError, apsw.Error):
            await self._set_mark()
        self._closed = True
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.wait([self._catching_up])
        self._fold()
        await self._in_thread(self._projection.close)
        self._thread.shutdown(wait=False)

    async def run(self, run_id: str) -> RunRow | None:
        """A run, if it has a record."""
        found = await self.read(lambda db: db.select(RunRow, "runs WHERE run_id = ?", (run_id,)))
        return found[0] if found else None

    async def open_runs(self) -> list[RunRow]:
        """Runs without a last record, oldest first: on start, those that a process left."""
        clause = "runs WHERE ended_at_ns IS NULL ORDER BY started_at_ns"
        return await self.read(lambda db: db.select(RunRow, clause))

    async def execution(self, execution_id: str) -> ExecutionRow | None:
        """An execution by its id. One that an agent merely told of never hides one of ours."""
        clause = "executions WHERE execution_id = ? ORDER BY is_reported, queued_at_ns LIMIT 1"
        found = await self.read(lambda db: db.select(ExecutionRow, clause, (execution_id,)))
        return found[0] if found else None

    async def run_of(self, execution_id: str) -> str | None:
        """The run that an execution belongs to."""
        found = await self.execution(execution_id)
        return None if found is None else found.run_id

    async def executions_of(self, run_id: str) -> list[ExecutionRow]:
        """What ran in a run, in the order it became known; the first `NODES_MAX`."""
        clause = "executions WHERE run_id = ? ORDER BY seq LIMIT ?"
        return await self.read(lambda db: db.select(ExecutionRow, clause, (run_id, NODES_MAX)))

    async def turns_of(self, run_id: str) -> list[TurnRow]:
        """The turns of a run's sessions, in order; the first `NODES_MAX`."""
        clause = "turns WHERE run_id = ? ORDER BY seq LIMIT ?"
        return await self.read(lambda db: db.select(TurnRow, clause, (run_id, NODES_MAX)))

    async def session(self, session_id: str) -> SessionRow | None:
        """A session by its id, live or not."""
        clause = "sessions WHERE session_id = ? ORDER BY started_at_ns LIMIT 1"
        found = await self.read(lambda db: db.select(SessionRow, clause, (session_id,)))
        return found[0] if found else None

    async def page(
        self, listing: Listing[RowT], filters: Filters = ALL, *, limit: int, offset: int = 0
    ) -> Page[RowT]:
        """A page of a list (`EXECUTIONS`, `SESSIONS`, `RUNS`), newest first.

        Raises:
            BadRequest: a filter says nothing about these rows.
        """
        listing.where(filters)
        return await self.read(lambda db: listing.page(db, filters, limit=limit, offset=offset))

    async def notes_of(self, execution_id: str) -> list[NoteRow]:
        """What was noted about an execution, in order; the first `NODES_MAX`."""
        clause = "notes WHERE execution_id = ? ORDER BY at_ns, run_id, seq LIMIT ?"
        return await self.read(lambda db: db.select(NoteRow, clause, (execution_id, NODES_MAX)))


@asynccontextmanager
async def open_catalogue(path: Path, journal: StoreJournal) -> AsyncGenerator[Catalogue]:
    """The catalogue of `journal`, with all of it in there; it follows the journal until the block ends."""
    projection = await asyncio.to_thread(Projection, path)
    catalogue = Catalogue(journal, projection)
    try:
        journal.tell_commits(catalogue.hand_over)
        await catalogue.read_journal()
        yield catalogue
    finally:
        await catalogue.close()
