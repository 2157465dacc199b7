"""Whoever is told of what became durable."""

import asyncio
from collections.abc import Sequence

import pytest

from agentfield_journal import JournalConflict, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch
from agentfield_journal.testing import make_draft


@pytest.mark.asyncio
async def test_whoever_listens_to_commits_is_told_in_order_and_before_whoever_waits() -> None:
    journal = StoreJournal(MemoryStore())
    told: list[tuple[str, int]] = []
    journal.tell_commits(
        lambda group: told.extend((batch.run_id, row[1]) for batch in group for row in batch.rows)
    )
    writer, other = await journal.open_run("run-1"), await journal.open_run("run-2")
    for number in range(1, 4):
        writer.append([make_draft(number)])
        await other.durable(other.append([make_draft(number)]))
        assert told[-2:] == [("run-1", number), ("run-2", number)]
    writer.append([make_draft(4)])
    newer = await journal.open_run("run-1")
    with pytest.raises(JournalConflict):
        writer.append([make_draft(5)])
    await newer.durable(newer.append([make_draft(6)]))
    assert [seq for run_id, seq in told if run_id == "run-1"] == list(range(1, newer.head.seq + 1))
    await journal.close()


@pytest.mark.asyncio
async def test_a_listener_that_fails_concerns_nobody_who_commits() -> None:
    journal = StoreJournal(MemoryStore())
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: failures.append(about.get("exception")))
    told: list[int] = []

    def fails(group: Sequence[Batch]) -> None:
        raise KeyError(len(group))

    journal.tell_commits(fails)
    journal.tell_commits(lambda group: told.append(len(group)))
    writer = await journal.open_run("run-1")
    await writer.durable(writer.append([make_draft(1)]))
    assert ([type(failure) for failure in failures], told) == ([KeyError], [1])
    await journal.close()
