"""The engine above the stores: failures, hanging disks, overlapping appenders."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_journal import (
    Cursor,
    JournalConflict,
    JournalFull,
    JournalUnavailable,
    Limits,
    StoreJournal,
    verify,
)
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch
from agentfield_journal.testing import make_draft


class FailingStore(MemoryStore):
    """Fails from the commit numbered `fails_from` on, counted from 1."""

    def __init__(self, fails_from: int, *, stored_anyway: bool) -> None:
        super().__init__()
        self._fails_from = fails_from
        self._stored_anyway = stored_anyway
        self.commits = 0

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        self.commits += 1
        if self.commits < self._fails_from:
            return super().commit(batches)
        if self._stored_anyway:
            super().commit(batches)
        raise OSError(5, "Input/output error")


class HangingStore(MemoryStore):
    """A disk that answers when told to."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()
        self.begun = threading.Semaphore(0)
        self.hangs_again = False
        self.closed = False

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        self.begun.release()
        self.answer.wait()
        if self.hangs_again:
            self.answer.clear()
        return super().commit(batches)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("stored_anyway", [False, True])
@pytest.mark.asyncio
async def test_a_failed_commit_poisons_the_journal_and_reopening_goes_on(stored_anyway: bool) -> None:
    store = FailingStore(3, stored_anyway=stored_anyway)
    journal = StoreJournal(store)
    writer, other = await journal.open_run("run-1"), await journal.open_run("run-2")
    await writer.durable(writer.append([make_draft(1)]))
    await writer.durable(writer.append([make_draft(2)]))
    failing = writer.append([make_draft(3)])
    other_cursor = other.append([make_draft(1)])
    with pytest.raises(JournalUnavailable, match="read before going on"):
        await writer.durable(failing)
    with pytest.raises(JournalUnavailable):
        await other.durable(other_cursor)
    with pytest.raises(JournalUnavailable):
        writer.append([make_draft(4)])
    with pytest.raises(JournalUnavailable):
        await journal.open_run("run-3")
    assert store.commits == 3, "a failed commit was tried again"
    await journal.close()

    store.commits = -1_000_000
    again = StoreJournal(store)
    found = 3 if stored_anyway else 2
    assert [record.seq for record in await again.read("run-1")] == list(range(1, found + 1))
    writer = await again.open_run("run-1")
    assert writer.head == Cursor("run-1", found)
    await writer.durable(writer.append([make_draft(4)]))
    assert (await verify(again)).sound
    await again.close()


@pytest.mark.asyncio
async def test_a_hanging_disk_blocks_neither_the_loop_nor_those_who_wait() -> None:
    store = HangingStore()
    journal = StoreJournal(store, Limits(deadline_s=0.2))
    writer = await journal.open_run("run-1")
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    beating = asyncio.create_task(heartbeat())
    cursor = writer.append([make_draft(1)])
    with pytest.raises(JournalUnavailable, match="unknown"):
        await writer.durable(cursor)
    second = writer.append([make_draft(2)])
    with pytest.raises(JournalUnavailable, match="unknown"):
        await writer.durable(second)
    beating.cancel()
    assert beats > 5, "the loop stood still while the disk did"
    store.answer.set()
    await writer.durable(second)
    assert [record.seq for record in await journal.read("run-1")] == [1, 2]
    await journal.close()


@pytest.mark.asyncio
async def test_closing_over_a_hanging_disk_says_what_may_be_lost() -> None:
    store = HangingStore()
    journal = StoreJournal(store, Limits(deadline_s=0.05))
    writer = await journal.open_run("run-1")
    writer.append([make_draft(1)])
    with pytest.raises(JournalUnavailable, match="may be lost"):
        await journal.close()
    store.answer.set()


@pytest.mark.asyncio
async def test_closing_over_a_hanging_disk_leaves_nobody_waiting() -> None:
    store = HangingStore()
    journal = StoreJournal(store, Limits(deadline_s=0.05))
    writer = await journal.open_run("run-1")

    async def follow() -> list[int]:
        return [record.seq async for record in journal.subscribe("run-1")]

    tail = asyncio.create_task(follow())
    waiting = asyncio.create_task(writer.durable(writer.append([make_draft(1)])))
    await asyncio.sleep(0)
    with pytest.raises(JournalUnavailable, match="may be lost"):
        await journal.close()
    async with asyncio.timeout(5):
        assert await tail == []
        with pytest.raises(JournalUnavailable):
            await waiting
    store.answer.set()


@pytest.mark.asyncio
async def test_a_closing_that_is_given_up_goes_on_and_others_wait_for_it() -> None:
    store = HangingStore()
    journal = StoreJournal(store)
    writer = await journal.open_run("run-1")
    writer.append([make_draft(1)])
    closings = [asyncio.create_task(journal.close()) for _ in range(2)]
    await asyncio.sleep(0)
    closings[0].cancel()
    await asyncio.wait(closings[:1])
    assert closings[0].cancelled() and not closings[1].done()
    store.answer.set()
    await closings[1]
    assert len(store.page("run-1", 0, 9).rows) == 1
    assert store.closed


@pytest.mark.asyncio
async def test_a_release_that_is_given_up_leaves_nobody_waiting() -> None:
    store = HangingStore()
    journal = StoreJournal(store)
    writer = await journal.open_run("run-1")
    waiting = asyncio.create_task(writer.durable(writer.append([make_draft(1)])))
    releasing = asyncio.create_task(writer.release())
    await asyncio.sleep(0)
    releasing.cancel()
    await asyncio.wait([releasing])
    assert journal.has_writer("run-1"), "its record is still on the way"
    with pytest.raises(JournalUnavailable, match="was released"):
        writer.append([make_draft(2)])
    store.answer.set()
    async with asyncio.timeout(5):
        await waiting
    assert not journal.has_writer("run-1")
    await journal.close()


@pytest.mark.asyncio
async def test_every_group_on_its_way_has_a_deadline() -> None:
    """An opening sends what is queued behind the group on its way: that one answers, the next does not."""
    store = HangingStore()
    journal = StoreJournal(store, Limits(deadline_s=0.2))
    writer = await journal.open_run("run-1")
    first = asyncio.create_task(writer.durable(writer.append([make_draft(1)])))
    await asyncio.to_thread(store.begun.acquire)
    second = writer.append([make_draft(2)])
    opening = asyncio.create_task(journal.open_run("run-2"))
    await asyncio.sleep(0)
    store.hangs_again = True
    store.answer.set()
    await first
    with pytest.raises(JournalUnavailable, match="unknown"):
        async with asyncio.timeout(5):
            await writer.durable(second)
    with pytest.raises(JournalUnavailable):
        await opening
    store.hangs_again = False
    store.answer.set()
    await writer.durable(second)
    await journal.close()


class RestlessStore(MemoryStore):
    """Another process may write to it; the first question whether one did finds the server away."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def changes(self) -> int:
        self.asked += 1
        if self.asked == 1:
            raise JournalUnavailable("the server is away for a moment")
        return self.asked


@pytest.mark.asyncio
async def test_a_tail_goes_on_after_the_server_was_away_for_a_moment() -> None:
    store = RestlessStore()
    journal = StoreJournal(store, Limits(poll_s=0.001))
    other = StoreJournal(store)
    writer = await other.open_run("run-1")
    seen = asyncio.Queue[int]()

    async def follow() -> None:
        async for record in journal.subscribe("run-1"):
            seen.put_nowait(record.seq)

    tail = asyncio.create_task(follow())
    async with asyncio.timeout(5):
        for number in (1, 2):
            await writer.durable(writer.append([make_draft(number)]))
            assert await seen.get() == number
    await journal.close()
    await tail
    await other.close()


@pytest.mark.asyncio
async def test_a_refused_append_has_a_full_store_look_for_room_again() -> None:
    store = FullStore()
    journal = StoreJournal(store)
    writer = await journal.open_run("run-1")
    store.full = True
    with pytest.raises(JournalFull):
        writer.append([make_draft(2)])
    await asyncio.to_thread(store.looked.wait, 10)
    await writer.durable(writer.append([make_draft(2)]))
    await journal.close()


class FullStore(MemoryStore):
    """Finds room as soon as it looks for some."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Event()

    def tend(self) -> None:
        if self.full:
            self.full = False
            self.looked.set()


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "again", "conflict", "wait", "cancel", "takeover", "read"]),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
    max_size=40,
)


class Overlap:
    """Runs steps without waiting for one before the next, beside a model of what was acknowledged."""

    def __init__(self, journal: StoreJournal) -> None:
        self.journal = journal
        self.written: dict[str, list[str]] = {}
        self.acknowledged: dict[str, int] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.number = 0

    async def run(self, steps: list[Step]) -> None:
        actions: dict[str, Callable[[str, int], Awaitable[None]]] = {
            "append": self.append,
            "again": self.again,
            "conflict": self.conflict,
            "wait": self.wait,
            "cancel": self.cancel,
            "takeover": self.takeover,
            "read": self.read,
        }
        self.writers = {f"run-{n}": await self.journal.open_run(f"run-{n}") for n in range(3)}
        for action, run, count in steps:
            await actions[action](f"run-{run}", count)
        for writer in self.writers.values():
            await writer.durable(writer.head)
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for run_id, written in self.written.items():
            records = await self.journal.read(run_id)
            assert [record.record_id for record in records] == written
            assert [record.seq for record in records] == list(range(1, len(written) + 1))
        assert (await verify(self.journal)).sound

    async def append(self, run_id: str, count: int) -> None:
        drafts = [make_draft(self.number + offset) for offset in range(count)]
        self.number += count
        cursor = self.writers[run_id].append(drafts)
        self.written.setdefault(run_id, []).extend(draft.record_id for draft in drafts)
        assert cursor.seq == len(self.written[run_id])
        self.tasks.append(asyncio.create_task(self._acknowledge(run_id, cursor)))

    async def _acknowledge(self, run_id: str, cursor: Cursor) -> None:
        await self.writers[run_id].durable(cursor)
        self.acknowledged[run_id] = max(self.acknowledged.get(run_id, 0), cursor.seq)

    async def again(self, run_id: str, count: int) -> None:
        known = self.written.get(run_id, [])[-count:]
        if known:
            first = len(self.written[run_id]) - len(known) + 1
            drafts = [make_draft(int(name.removeprefix("record-"))) for name in known]
            assert self.writers[run_id].append(drafts).seq == first + len(known) - 1

    async def conflict(self, run_id: str, count: int) -> None:
        known = self.written.get(run_id)
        if known:
            number = int(known[0].removeprefix("record-"))
            with pytest.raises(JournalConflict):
                self.writers[run_id].append([make_draft(number, payload=b"\x80" * count)])

    async def wait(self, run_id: str, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def cancel(self, run_id: str, count: int) -> None:
        for task in self.tasks[-count:]:
            task.cancel()

    async def takeover(self, run_id: str, count: int) -> None:
        old = self.writers[run_id]
        self.writers[run_id] = await self.journal.open_run(run_id)
        assert self.writers[run_id].head.seq == len(self.written.get(run_id, []))
        with pytest.raises(JournalConflict):
            old.append([make_draft(1_000_000)])

    async def read(self, run_id: str, count: int) -> None:
        acknowledged = self.acknowledged.get(run_id, 0)
        assert len(await self.journal.read(run_id)) >= acknowledged


class ThreadedMemoryStore(MemoryStore):
    """The memory store behind the threads that a disk would need."""

    blocking = True


@pytest.mark.parametrize("kind", [MemoryStore, ThreadedMemoryStore])
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_overlapping_appenders_lose_nothing_and_repeat_nothing(
    kind: type[MemoryStore], steps: list[Step]
) -> None:
    async def scenario() -> None:
        journal = StoreJournal(kind())
        await Overlap(journal).run(steps)
        await journal.close()

    asyncio.run(scenario())
