"""The journal over any store: queue, acknowledgement, reads, live tails. One engine for all stores.

Knows nothing of files, SQL or servers.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TypeVar

import msgspec

from agentfield_journal import codec
from agentfield_journal.claims import Claims
from agentfield_journal.codec import Seen
from agentfield_journal.commit_listeners import CommitListener, CommitListeners
from agentfield_journal.envelope import Envelope
from agentfield_journal.errors import (
    BatchTooLarge,
    JournalConflict,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalUnavailable,
)
from agentfield_journal.group import GroupCommit
from agentfield_journal.pipelined import PipelinedCommit
from agentfield_journal.ports import RunHead
from agentfield_journal.remembered import Remembered
from agentfield_journal.stores.port import (
    Batch,
    BeginsRuns,
    Claim,
    ClaimsTogether,
    PipelinedStore,
    Store,
    StoredRow,
)
from agentfield_journal.tails import Tails
from agentfield_journal.writer import StoreRunWriter

ResultT = TypeVar("ResultT")

_PAGE_RUNS = 500
_SEQ_MAX = (1 << 63) - 1  # a larger one would be refused by some databases
_PAGE_RECORDS = 2_000  # a page costs two thread switches, and may hold the interpreter for milliseconds


def is_own_run(run_id: str) -> bool:
    """Whether the journal keeps `run_id` for itself (checkpoints, tombstones, erasures)."""
    return run_id.startswith("journal/")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one open journal.

    `queued_records_max` records and `queued_bytes_max` bytes may wait for the disk; `deadline_s` is how long
    any store call may take; `poll_s` is how often a reader looks whether another process wrote.
    """

    queued_records_max: int = 16_384
    queued_bytes_max: int = 64 << 20
    deadline_s: float = 5.0
    poll_s: float = 0.05


_DEFAULT_LIMITS = Limits()


class StoreJournal:
    """Implements `Journal` over a `Store`. Belongs to the event loop it was made on."""

    def __init__(self, store: Store, limits: Limits = _DEFAULT_LIMITS) -> None:
        self.store = store
        self._limits = limits
        self._queued = 0
        self._queued_bytes = 0
        self._queued_max, self._queued_bytes_max = limits.queued_records_max, limits.queued_bytes_max
        self.batch_bytes_max = min(store.batch_bytes_max, limits.queued_bytes_max)
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._writers: dict[str, tuple[StoreRunWriter, ...]] = {}  # of a run more than one only for a moment
        self._opening = Counter[str]()
        self._tails = Tails(self._changes if store.shared else None, poll_s=limits.poll_s)
        self._listeners = CommitListeners()
        self._readers = ThreadPoolExecutor(1, "journal-reader") if store.blocking else None
        line = store.line() if isinstance(store, PipelinedStore) else None
        if line is None:
            self._group = GroupCommit[Batch](store, self, deadline_s=limits.deadline_s)
        else:
            self._group = PipelinedCommit[Batch](store, self, line, deadline_s=limits.deadline_s)
        self._begins = store if isinstance(store, BeginsRuns) else None
        self._claims = Claims(store, self.on_writer) if isinstance(store, ClaimsTogether) else None

    async def open_run(self, run_id: str) -> StoreRunWriter:
        """Become the one writer of `run_id`; see `Journal.open_run`.

        Raises:
            JournalCorrupt: the run's chain is broken; nothing is appended to such a run.
        """
        self._require_sound()
        self._opening[run_id] += 1
        try:
            claim = await self._claim(run_id)
            self._retire_writers(run_id, below=claim.epoch)
            seen = Remembered()
            after = 0
            while after < claim.seq:
                after = await self._reading(partial(self._index, run_id, after, seen))
            writer = StoreRunWriter(run_id, claim, seen=seen, submit=self._submit, forget=self._forget)
            self._writers[run_id] = (*self._writers.get(run_id, ()), writer)
            return writer
        finally:
            self._opening[run_id] -= 1
            if not self._opening[run_id]:
                del self._opening[run_id]

    async def begin_run(self, run_id: str) -> StoreRunWriter:
        """Become the one writer of a run under a name that nobody has used: one that was drawn at random.

        It costs nothing until something is appended: the run is made known together with its first records.
        Should the name be taken after all, those are refused.

        Raises:
            JournalConflict: the name is taken.
        """
        if self._begins is None:
            writer = await self.open_run(run_id)
            if writer.head.seq:
                await writer.release()
                raise JournalConflict(f"run {run_id} is there already; open it instead")
            return writer
        self._require_sound()
        if self.has_writer(run_id):
            raise JournalConflict(f"run {run_id} is there already; open it instead")
        number = self._begins.new_run()
        claim = Claim(run=number, epoch=1, seq=0, hash=codec.genesis(run_id), begins=True)
        writer = StoreRunWriter(run_id, claim, seen=Remembered(), submit=self._submit, forget=self._forget)
        self._writers[run_id] = (writer,)
        return writer

    async def _claim(self, run_id: str) -> Claim:
        if self._claims is not None:
            return await self._claims.claim(run_id)
        return await self._group.run(lambda: self.store.claim(run_id))

    def _retire_writers(self, run_id: str, *, below: int) -> None:
        for writer in self._writers.get(run_id, ()):
            if writer.epoch < below:
                writer.fail(
                    JournalConflict(f"run {run_id} has a newer writer; this one can store nothing more")
                )

    def _index(self, run_id: str, after: int, seen: Remembered) -> int:
        page = self.store.page(run_id, after, _PAGE_RECORDS)
        seen.forget_old(durable_seq=after)
        for record in codec.check(run_id, after, page.prev_hash, page.rows):
            body = page.rows[record.seq - after - 1][1]
            seen.newest[record.record_id] = Seen(record.seq, hash(codec.draft_part(body, run_id)))
        if not page.rows:
            raise JournalUnavailable(f"run {run_id} became shorter while it was opened; verify the journal")
        return after + len(page.rows)

    def _submit(self, batch: Batch, closes: bool) -> None:
        if self._closed or self._group.failure is not None:
            self._require_sound()
        if self.store.full and not closes:
            self._group.tend_soon()  # nothing else may arrive that makes it look for room again
            raise JournalFull("the disk is full: only records that close something are taken; free some room")
        queued, queued_bytes = self._queued + len(batch.rows), self._queued_bytes + batch.size_bytes
        if (
            queued > self._queued_max
            or queued_bytes > self._queued_bytes_max
            or batch.size_bytes > self.batch_bytes_max
        ):
            raise self._no_room_for(batch)
        self._queued, self._queued_bytes = queued, queued_bytes
        self._group.submit(batch)

    def _no_room_for(self, batch: Batch) -> JournalError:
        if batch.size_bytes > self.batch_bytes_max:
            return BatchTooLarge(
                f"a batch of {batch.size_bytes} bytes, at most {self.batch_bytes_max} are taken at once;"
                " append fewer records at a time, and keep what is large in the content store"
            )
        return JournalFull(
            f"{self._queued} records of {self._queued_bytes} bytes wait for the disk; nothing of this"
            " batch was taken, try again when some are durable"
        )

    def committed(self, group: list[Batch], refused: list[Batch]) -> None:
        """Called by the group commit: acknowledge, and wake live tails."""
        self._listeners.tell(group, refused)
        for batch in group:
            self._queued -= len(batch.rows)
            self._queued_bytes -= batch.size_bytes
            writer = self._writer(batch.run_id, batch.epoch)
            if refused and batch in refused:
                if writer is not None:
                    writer.fail(
                        JournalConflict(
                            f"run {batch.run_id}: epoch {batch.epoch} is stale; another writer has the run"
                        )
                    )
                continue
            if writer is not None:
                writer.acknowledge(batch.rows[-1][1])
            self._tails.wake(batch.run_id)

    def tell_commits(self, listener: CommitListener) -> None:
        """From now on, hand every durable group to `listener`, on the loop, before anybody is told of it.

        It must be quick. What it raises concerns the loop's exception handler, never a commit.
        """
        self._listeners.add(listener)

    def failed(self, failure: JournalError) -> None:
        """Called by the group commit: no writer can store anything more."""
        self._queued = self._queued_bytes = 0
        for writer in list(chain.from_iterable(self._writers.values())):
            writer.fail(failure)

    def late(self) -> None:
        """Called by the group commit: those who wait are told that the outcome is unknown."""
        error = JournalUnavailable(
            f"the store has not answered for {self._limits.deadline_s} s;"
            " whether the records are stored is unknown"
        )
        for writer in chain.from_iterable(self._writers.values()):
            writer.wake_waiters(error)

    def _writer(self, run_id: str, epoch: int) -> StoreRunWriter | None:
        for writer in self._writers.get(run_id, ()):
            if writer.epoch == epoch:
                return writer
        return None

    def _forget(self, writer: StoreRunWriter) -> None:
        others = tuple(other for other in self._writers.pop(writer.run_id, ()) if other is not writer)
        if others:
            self._writers[writer.run_id] = others

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Envelope]:
        records: list[Envelope] = []
        while limit is None or len(records) < limit:
            size = _PAGE_RECORDS if limit is None else min(_PAGE_RECORDS, limit - len(records))
            page = await self._page(run_id, after + len(records), size)
            records += page
            if len(page) < size:
                break
        return records

    async def _page(self, run_id: str, after: int, limit: int) -> list[Envelope]:
        self._require_open()
        return (await self._reading(partial(self._load, run_id, after, limit)))[1]

    def _load(self, run_id: str, after: int, limit: int) -> tuple[list[StoredRow], list[Envelope]]:
        if after < 0:
            raise ValueError("a run's records are read after 0 or a later one")
        page = self.store.page(run_id, min(after, _SEQ_MAX), limit)
        return page.rows, codec.check(run_id, after, page.prev_hash, page.rows)

    async def read_rows(self, run_id: str, *, after: int, limit: int) -> list[StoredRow]:
        """As `read`, but the records' bytes as they are stored: seq, bytes, hash."""
        self._require_open()
        return (await self._reading(partial(self._load, run_id, after, limit)))[0]

    async def subscribe(self, run_id: str, *, after: int = 0) -> AsyncIterator[Envelope]:
        with self._tails.following(run_id) as changed:
            while not self._closed:
                self._tails.watch()
                changed.clear()
                try:
                    page = await self._page(run_id, after, _PAGE_RECORDS)
                except JournalUnavailable:
                    if self._closed:
                        return
                    raise
                for record in page:
                    after = record.seq
                    yield record
                if len(page) < _PAGE_RECORDS:
                    await changed.wait()

    async def _changes(self) -> int:
        return await self._reading(self.store.changes)

    async def heads(self) -> list[RunHead]:
        return await self.heads_of(await self.run_ids())

    async def run_ids(self) -> list[str]:
        """All runs with at least one record, newest first, without the journal's own."""
        self._require_open()
        return [run_id for run_id in await self._reading(self.store.run_ids) if not is_own_run(run_id)]

    async def all_heads(self) -> list[RunHead]:
        """As `heads`, with the runs that the journal keeps for itself."""
        return await self.heads_of(await self.all_run_ids())

    async def heads_of(self, run_ids: Collection[str]) -> list[RunHead]:
        """The heads of those of `run_ids` that have a record, in that order."""
        self._require_open()
        names = list(run_ids)
        heads: list[RunHead] = []
        # However many runs there are: no call takes long, and other reads come in between.
        for start in range(0, len(names), _PAGE_RUNS):
            found = await self._reading(partial(self._heads, names[start : start + _PAGE_RUNS]))
            heads += [head for head in found if head is not None]
        return heads

    async def all_run_ids(self) -> list[str]:
        """As `run_ids`, with those that the journal keeps for itself."""
        self._require_open()
        return await self._reading(self.store.run_ids)

    async def on_writer(self, job: Callable[[], ResultT]) -> ResultT:
        """Run a short blocking `job` between commits, for changes that must not meet one.

        Raises:
            JournalUnavailable: the journal is closed or failed, or the job outlived the deadline.
        """
        self._require_sound()
        return await self._group.run(job)

    async def on_reader(self, job: Callable[[], ResultT]) -> ResultT:
        """Run a blocking `job` of any length where reads run; commits go on, reads wait."""
        self._require_open()
        if self._readers is None:
            return job()
        return await asyncio.get_running_loop().run_in_executor(self._readers, job)

    def has_writer(self, run_id: str) -> bool:
        """Whether this process has the run open for writing, opens it, or has records of it in flight."""
        return run_id in self._opening or run_id in self._writers

    async def integrity_problems(self) -> list[str]:
        """What the store itself finds wrong below the level of records; takes as long as it is large."""
        return await self.on_reader(self.store.integrity_problems)

    def _heads(self, run_ids: list[str]) -> list[RunHead | None]:
        return [self._head(run_id) for run_id in run_ids]

    def _head(self, run_id: str) -> RunHead | None:
        page = self.store.ends(run_id)
        if not page.rows:
            return None
        (_, first_body, first_hash), (seq, last_body, last_hash) = page.rows[0], page.rows[-1]
        try:
            first = codec.decode(first_body, page.prev_hash, first_hash)
            last = codec.decode(last_body, page.prev_hash, last_hash)
        except msgspec.MsgspecError as error:
            raise JournalCorrupt(
                f"run {run_id}: its first or last record cannot be decoded; verify the journal",
                run_id=run_id,
                seq=seq,
            ) from error
        return RunHead(run_id=run_id, seq=seq, hash=last_hash, first_at_ns=first.at_ns, last_at_ns=last.at_ns)

    async def close(self) -> None:
        # One task for all who close, and shielded: whoever gives up waiting must not leave the lock held.
        if self._closing is None:
            self._closed = True
            self._closing = asyncio.create_task(self._close(), name="journal-close")
        if not self._closing.done():
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            # A store that does not answer is left alone, with its lock: it may still be writing.
            await self._group.close()
        finally:
            self.failed(JournalUnavailable("the journal is closed"))
            self._tails.stop()
        try:
            await self._reading(self.store.close)
        finally:
            if self._readers is not None:
                self._readers.shutdown(wait=False)

    async def _reading(self, job: Callable[[], ResultT]) -> ResultT:
        if self._readers is None:
            return job()
        call = asyncio.get_running_loop().run_in_executor(self._readers, job)
        try:
            async with asyncio.timeout(self._limits.deadline_s):
                return await call
        except TimeoutError:
            raise JournalUnavailable(f"the store did not answer within {self._limits.deadline_s} s") from None

    def _require_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed")

    def _require_sound(self) -> None:
        self._require_open()
        if (failure := self._group.failure) is not None:
            raise JournalUnavailable(str(failure)) from failure
