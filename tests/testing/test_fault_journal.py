"""The fault journal: a call that fails did what it says, and a crash leaves what was durable."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_journal import Journal, JournalFull, JournalUnavailable, RunWriter
from agentfield_journal.testing import make_draft
from agentfield_rt.testing.fault_journal import Crashed, FaultJournal, FaultWriter
from agentfield_rt.testing.virtual_time import in_virtual_time, run, time_passes


async def numbers(journal: FaultJournal) -> list[str]:
    """The ids of the records that are durable."""
    return [record.record_id for record in await journal.read("run")]


@in_virtual_time
async def test_it_is_a_journal_and_its_writers_are_writers() -> None:
    journal = FaultJournal()
    assert isinstance(journal, Journal)
    assert isinstance(await journal.open_run("run"), RunWriter)


@in_virtual_time
async def test_an_append_that_fails_before_takes_nothing_and_the_next_one_works() -> None:
    journal = FaultJournal()
    writer = await journal.open_run("run")
    journal.faults.fail("append", nth=2)
    writer.append([make_draft(1)])
    with pytest.raises(JournalFull):
        writer.append([make_draft(2)])
    await writer.durable(writer.append([make_draft(3)]))
    assert await numbers(journal) == ["record-1", "record-3"]


@in_virtual_time
async def test_an_append_that_fails_after_is_stored_and_poisons_its_writer() -> None:
    journal = FaultJournal()
    writer = await journal.open_run("run")
    journal.faults.fail("append", stored=True)
    with pytest.raises(JournalUnavailable):
        writer.append([make_draft(1)])
    with pytest.raises(JournalUnavailable, match="earlier"):
        writer.append([make_draft(2)])
    await time_passes(1)
    assert await numbers(journal) == ["record-1"]


@pytest.mark.parametrize("stored", [True, False])
@in_virtual_time
async def test_a_sync_that_fails_leaves_the_writer_usable(stored: bool) -> None:
    journal = FaultJournal()
    writer = await journal.open_run("run")
    journal.faults.fail("durable", stored=stored)
    with pytest.raises(JournalUnavailable):
        await writer.durable(writer.append([make_draft(1)]))
    await writer.durable(writer.append([make_draft(2)]))
    assert await numbers(journal) == ["record-1", "record-2"]


@in_virtual_time
async def test_nothing_becomes_durable_while_the_disk_hangs() -> None:
    journal = FaultJournal()
    writer = await journal.open_run("run")
    journal.faults.hang()
    waiting = asyncio.create_task(writer.durable(writer.append([make_draft(1)])))
    await time_passes(3600)
    assert not waiting.done()
    journal.faults.resume()
    await waiting


@in_virtual_time
async def test_after_a_crash_nothing_works_and_the_next_process_finds_what_was_durable() -> None:
    journal = FaultJournal()
    writer = await journal.open_run("run")
    await writer.durable(writer.append([make_draft(1)]))
    writer.append([make_draft(2)])
    journal.faults.crash("append")
    with pytest.raises(Crashed):
        writer.append([make_draft(3)])
    for call in (writer.durable(writer.head), writer.release(), journal.read("run"), journal.open_run("run")):
        with pytest.raises(Crashed):
            await call
    await time_passes(1)
    reopened = journal.reopen()
    assert await numbers(reopened) == ["record-1"]
    again = await reopened.open_run("run")
    await again.durable(again.append([make_draft(2)]))
    assert await numbers(reopened) == ["record-1", "record-2"]


@pytest.mark.parametrize(("stored", "left"), [(False, []), (True, ["record-1"])])
@in_virtual_time
async def test_a_crash_in_a_sync_comes_before_or_after_the_record_is_durable(
    stored: bool, left: list[str]
) -> None:
    journal = FaultJournal()
    writer = await journal.open_run("run")
    journal.faults.crash("durable", stored=stored)
    with pytest.raises(Crashed):
        await writer.durable(writer.append([make_draft(1)]))
    assert await numbers(journal.reopen()) == left


@given(crash_at=st.integers(1, 12), seed=st.integers(0, 100), stored=st.booleans())
def test_whatever_was_acknowledged_survives_every_crash(crash_at: int, seed: int, stored: bool) -> None:
    """Three tasks write at once, the process dies in some sync: acknowledged ⊆ found ⊆ appended."""
    acknowledged: set[str] = set()
    appended: set[str] = set()

    async def write(writer: RunWriter, base: int) -> None:
        for number in range(base, base + 4):
            draft = make_draft(number)
            appended.add(draft.record_id)
            await writer.durable(writer.append([draft]))
            acknowledged.add(draft.record_id)

    async def life() -> set[str]:
        journal = FaultJournal()
        journal.faults.crash("durable", nth=crash_at, stored=stored)
        writer = await journal.open_run("run")
        tasks = [asyncio.create_task(write(writer, base)) for base in (0, 100, 200)]
        await asyncio.wait(tasks)
        assert any(isinstance(task.exception(), Crashed) for task in tasks)
        return set(await numbers(journal.reopen()))

    found = run(life(), seed=seed)
    assert acknowledged <= found <= appended


@in_virtual_time
async def test_a_plan_that_cannot_be_meant_is_refused() -> None:
    faults = FaultJournal().faults
    with pytest.raises(ValueError, match="from 1"):
        faults.fail("append", nth=0)
    with pytest.raises(ValueError, match="crash in a sync"):
        faults.crash("append", stored=True)


@in_virtual_time
async def test_a_writer_of_any_journal_can_be_given_a_plan_of_its_own() -> None:
    writer = FaultWriter(await FaultJournal().open_run("run"))
    writer.faults.fail("append")
    with pytest.raises(JournalFull):
        writer.append([make_draft(1)])
    writer.faults.hang()
    assert writer.faults.hangs
    writer.faults.clear()
    await writer.durable(writer.append([make_draft(1)]))
    assert (writer.faults.appends_total, writer.faults.durables_total) == (2, 1)
    assert (writer.run_id, writer.epoch, writer.head.seq) == ("run", 1, 1)
    await writer.release()
