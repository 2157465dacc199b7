"""Runs that begin with their first records: no claim of their own, and all that a claimed run promises."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from agentfield_journal import Cursor, Draft, JournalConflict, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.sqlite import SqliteStore

RUN = "run_1"


def draft(number: int) -> Draft:
    return Draft(record_id=f"r{number}", kind="noted", at_ns=number)


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[StoreJournal]:
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "journal.db")
    journal = StoreJournal(store)
    yield journal
    await journal.close()


@pytest.mark.asyncio
async def test_it_is_read_written_and_opened_as_any_other(journal: StoreJournal) -> None:
    writer = await journal.begin_run(RUN)
    await writer.durable(writer.append([draft(1), draft(2)]))
    await writer.durable(writer.append([draft(3)]))
    assert [each.record_id for each in await journal.read(RUN)] == ["r1", "r2", "r3"]
    await writer.release()
    later = await journal.open_run(RUN)
    assert (later.epoch, later.head) == (2, Cursor(RUN, 3))
    await later.durable(later.append([draft(4)]))
    assert [each.epoch for each in await journal.read(RUN)] == [1, 1, 1, 2]


@pytest.mark.asyncio
async def test_one_in_which_nothing_was_written_never_was(journal: StoreJournal) -> None:
    await (await journal.begin_run(RUN)).release()
    assert await journal.run_ids() == []
    writer = await journal.begin_run(RUN)
    await writer.durable(writer.append([draft(1)]))
    assert await journal.run_ids() == [RUN]


@pytest.mark.asyncio
async def test_beside_others_in_one_group_each_gets_what_is_its_own(journal: StoreJournal) -> None:
    claimed = await journal.open_run("run_claimed")
    begun = [await journal.begin_run(f"run_{number}") for number in range(20)]
    writers = [claimed, *begun]
    cursors = [writer.append([draft(number)]) for number, writer in enumerate(writers)]
    for writer, cursor in zip(writers, cursors, strict=True):
        await writer.durable(cursor)
    assert {run_id: (await journal.read(run_id))[0].record_id for run_id in await journal.run_ids()} == {
        writer.run_id: f"r{number}" for number, writer in enumerate(writers)
    }
    assert await journal.integrity_problems() == []


@pytest.mark.asyncio
async def test_a_name_that_is_taken_is_refused_and_nothing_else_with_it(journal: StoreJournal) -> None:
    first = await journal.begin_run(RUN)
    with pytest.raises(JournalConflict):
        await journal.begin_run(RUN)
    await first.durable(first.append([draft(1)]))
    await first.release()
    again, other = await journal.begin_run(RUN), await journal.begin_run("run_2")
    wrong, right = again.append([draft(2)]), other.append([draft(3)])
    with pytest.raises(JournalConflict):
        await again.durable(wrong)
    await other.durable(right)
    assert [each.record_id for each in await journal.read(RUN)] == ["r1"]
    assert [each.record_id for each in await journal.read("run_2")] == ["r3"]
    later = await journal.open_run(RUN)
    await later.durable(later.append([draft(4)]))
    assert [each.record_id for each in await journal.read(RUN)] == ["r1", "r4"]


@pytest.mark.asyncio
async def test_a_name_that_an_earlier_process_used_is_refused(tmp_path: Path) -> None:
    before = StoreJournal(SqliteStore(tmp_path / "journal.db"))
    writer = await before.begin_run(RUN)
    await writer.durable(writer.append([draft(1)]))
    await before.close()
    journal = StoreJournal(SqliteStore(tmp_path / "journal.db"))
    again, other = await journal.begin_run(RUN), await journal.begin_run("run_2")
    wrong, right = again.append([draft(2)]), other.append([draft(3)])
    await other.durable(right)
    with pytest.raises(JournalConflict):
        await again.durable(wrong)
    assert [each.record_id for each in await journal.read(RUN)] == ["r1"]
    assert await journal.integrity_problems() == []
    await journal.close()
