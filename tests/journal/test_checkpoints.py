"""Moving the log into the main file: after the acknowledgement, before the log outgrows its room."""

import asyncio
import threading
from pathlib import Path

import pytest

from agentfield_journal import JournalUnavailable, StoreJournal
from agentfield_journal.engine import Limits
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing import make_draft
from tests.journal.workload import Ledger


class SlowHousekeeper(MemoryStore):
    """A store behind a thread, whose housekeeping takes until it is told to end."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def after_acknowledgement(self, *, waiting: bool) -> None:
        self.begun.set()
        assert self.may_end.wait(10)


class SlowStore(MemoryStore):
    """A store behind a thread, which commits when it may and notes who waits for its housekeeping."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.may_commit = threading.Event()
        self.waiting: list[bool] = []

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        self.begun.set()
        assert self.may_commit.wait(10)
        return super().commit(batches)

    def after_acknowledgement(self, *, waiting: bool) -> None:
        self.waiting.append(waiting)


class FailingHousekeeper(MemoryStore):
    blocking = True

    def after_acknowledgement(self, *, waiting: bool) -> None:
        raise OSError("the disk failed")


@pytest.mark.asyncio
async def test_a_group_is_acknowledged_before_the_log_is_moved() -> None:
    store = SlowHousekeeper()
    journal = StoreJournal(store, Limits(deadline_s=1.0))
    writer = await journal.open_run("run-1")
    cursor = writer.append([make_draft(1)])
    try:
        async with asyncio.timeout(0.5):
            await writer.durable(cursor)
            await asyncio.to_thread(store.begun.wait)
    finally:
        store.may_end.set()
    await writer.durable(writer.append([make_draft(2)]))
    await journal.close()


@pytest.mark.asyncio
async def test_housekeeping_is_told_whether_others_wait_for_it() -> None:
    store = SlowStore()
    journal = StoreJournal(store)
    writer = await journal.open_run("run-1")
    writer.append([make_draft(1)])
    await asyncio.to_thread(store.begun.wait)
    second = writer.append([make_draft(2)])
    store.may_commit.set()
    await writer.durable(second)
    await journal.close()
    assert store.waiting == [True, False]


@pytest.mark.asyncio
async def test_housekeeping_that_fails_poisons_the_journal() -> None:
    journal = StoreJournal(FailingHousekeeper())
    writer = await journal.open_run("run-1")
    await writer.durable(writer.append([make_draft(1)]))
    with pytest.raises(JournalUnavailable, match="reopen the journal"):
        await writer.durable(writer.append([make_draft(2)]))
    with pytest.raises(JournalUnavailable):
        writer.append([make_draft(3)])
    await journal.close()


def test_the_log_stays_in_its_room_however_busy_the_writers_are(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.db")
    log = tmp_path / "journal.db-wal"
    room_bytes = log.stat().st_size
    ledger = Ledger()
    written_pages = 0
    for _ in range(150):
        ledger.group(store, [(f"run-{number}", 1) for number in range(8)], payload_bytes=4_000)
        written_pages += 8
        store.after_acknowledgement(waiting=True)
        assert log.stat().st_size == room_bytes
    assert written_pages * 4_096 > room_bytes, "too little was written to need a move of the log"
    ledger.check(store, ledger.acknowledged)
    store.close()
