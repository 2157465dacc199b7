"""Where a world's records are, and what of them a process finds that comes after a dead one."""

# The engine's group commit is replaced by a slow one, which no user can do.
# pyright: reportPrivateUsage=false

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from agentfield_journal import Cursor, Draft, JournalError, StoreJournal
from agentfield_journal.group import GroupCommit
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch, Store
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing.crash import SECTOR_BYTES, synced_image
from agentfield_journal.testing.disk import Delete, Disk, Image, Sync, Truncate, Write, apply
from agentfield_rt.testing import FaultJournal, FaultWriter
from agentfield_rt.testing.fault_journal import _MortalStore

Note = Callable[[str], None]


class Storage(Protocol):
    """Outlives processes."""

    store: Store

    def kill(self) -> None:
        """The process is gone; what it wrote is there, what it had not committed is not."""
        ...

    def arm(self, dies: Callable[[], None]) -> None:
        """Let the power go in the middle of a coming commit, and tell."""
        ...

    def cut_power(self) -> None:
        """What was not synced is lost, in part, in any order, torn."""
        ...

    def close(self) -> None: ...


class Memory:
    """Records in memory; several processes may be alive over them."""

    def __init__(self) -> None:
        self.store: Store = MemoryStore()

    def kill(self) -> None:
        """The store is nobody's."""

    def arm(self, dies: Callable[[], None]) -> None:
        """A commit to memory has no middle."""

    def cut_power(self) -> None:
        """Nothing to lose: what is in memory is the disk of this world."""

    def close(self) -> None:
        """Nothing is held."""


class SimulatedDisk:
    """SQLite over a disk that loses what was not synced. One process at a time."""

    def __init__(self, folder: Path, chance: random.Random, note: Note) -> None:
        self._path = folder / "journal.db"
        self._chance = chance
        self._note = note
        self._open(Image())

    def _open(self, image: Image) -> None:
        self._image = image
        self._disk = Disk(image)
        self._cut_at: int | None = None
        self._mounted = ExitStack()
        vfs = self._mounted.enter_context(self._disk.mounted())
        self._sqlite = SqliteStore(self._path, vfs=vfs, reserve_bytes=0)
        self.store: Store = self._sqlite

    def kill(self) -> None:
        """The system writes what is in its cache sooner or later; the next process reads it there."""
        self._reopen({name: bytes(data) for name, data in self._disk.files.items()})

    def arm(self, dies: Callable[[], None]) -> None:
        """The power goes in the middle of a coming commit: at one of its writes or its sync."""
        calls_left = self._chance.randint(1, 6)

        def fault(kind: str, _: int) -> str | None:
            nonlocal calls_left
            if kind not in ("write", "sync"):
                return None
            calls_left -= 1
            if calls_left == 0:
                self._cut_at = len(self._disk.log)
                self._note("the power went in the middle of a commit")
                dies()
            return "io" if calls_left <= 0 else None

        self._disk.fault = fault

    def cut_power(self) -> None:
        self._reopen(self._after_power_cut(self._disk.log[: self._cut_at]))

    def _after_power_cut(self, log: Sequence[object]) -> Image:
        operations = [op for op in log if isinstance(op, Write | Truncate | Sync | Delete)]
        files = {name: bytearray(data) for name, data in synced_image(operations, self._image).items()}
        pending = _unsynced(operations)
        survivors = [change for change in pending if self._chance.random() < 0.5]
        self._chance.shuffle(survivors)
        for change in survivors:
            if isinstance(change, Write) and len(change.data) > SECTOR_BYTES and self._chance.random() < 0.3:
                kept = self._chance.randrange(1, len(change.data) // SECTOR_BYTES + 1) * SECTOR_BYTES
                change = Write(change.file, change.offset, change.data[:kept])
                self._note("a write was torn")
            apply(files.setdefault(change.file, bytearray()), change)
        if len(survivors) < len(pending):
            self._note("unsynced writes were lost")
        return {name: bytes(data) for name, data in files.items()}

    def _reopen(self, image: Image) -> None:
        self._shut()
        self._open(image)

    def _shut(self) -> None:
        with suppress(JournalError):
            self._sqlite.close()
        self._mounted.close()

    def close(self) -> None:
        self._shut()


def _unsynced(operations: Iterable[Write | Truncate | Sync | Delete]) -> list[Write | Truncate]:
    pending: list[Write | Truncate] = []
    for operation in operations:
        if isinstance(operation, Write | Truncate):
            pending.append(operation)
        else:
            pending = [change for change in pending if change.file != operation.file]
    return pending


class _SlowCommit(GroupCommit[Batch]):
    """Commits some time after it was asked to, so that what does not wait for the disk runs ahead of it."""

    delay_s: Callable[[], float]

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_later(self.delay_s(), self._start_group)


class _WatchedWriter(FaultWriter):
    """Notes the outcomes that the journal did not take, and took later."""

    note: Note

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        closed = {draft.op_id for draft in drafts if draft.request_record_id is not None}
        owed: set[str | None] = self.__dict__.setdefault("owed", set())
        try:
            cursor = super().append(drafts)
        except JournalError:
            owed |= closed
            raise
        if closed & owed:
            self.note("an owed outcome was paid")
            owed -= closed
        return cursor


class ProcessJournal(FaultJournal):
    """A storage as one process has it open."""

    def __init__(self, storage: Storage, *, delay_s: Callable[[], float], note: Note) -> None:
        super().__init__(storage.store)
        self.storage = storage
        self._delay_s = delay_s
        self._note = note

    async def open_run(self, run_id: str) -> FaultWriter:
        writer = _WatchedWriter(await self._journal.open_run(run_id), self.faults)
        writer.note = self._note
        return writer

    @property
    def engine(self) -> StoreJournal:
        """For `verify`, which needs more than the port."""
        return self._journal

    @property
    def has_failed(self) -> bool:
        """Whether this process can store nothing any more."""
        return self._opened is not None and self._opened._group.failure is not None

    @property
    def _journal(self) -> StoreJournal:
        self.faults.require_life()
        if self._opened is None:
            asyncio.get_running_loop()
            store = _MortalStore(self._store, self.faults)
            self._opened = StoreJournal(store)
            slow = _SlowCommit(store, self._opened, deadline_s=5.0)
            slow.delay_s = self._delay_s
            self._opened._group = slow
        return self._opened
