"""A run as it is opened: what is read of it, and what is not."""

import pytest

from agentfield_journal import Envelope, JournalConflict, open_journal
from agentfield_rt import Run
from agentfield_rt.core import records
from agentfield_rt.observe import Observation
from agentfield_rt.run import _PAGE_RECORDS as PAGE_RECORDS  # pyright: ignore[reportPrivateUsage]
from agentfield_rt.run import Context
from agentfield_rt.testing import FaultJournal


@pytest.mark.parametrize(
    ("records_total", "reads_total"),
    [
        pytest.param(0, 0, id="a new run"),
        pytest.param(1, 1, id="one record"),
        pytest.param(PAGE_RECORDS, 1, id="a page"),
        pytest.param(PAGE_RECORDS + 1, 2, id="more than a page"),
    ],
)
@pytest.mark.asyncio
async def test_a_run_is_read_to_its_head_and_no_further(
    records_total: int, reads_total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    async with open_journal("memory:") as journal:
        earlier = await Run.open(journal, "run-1")
        connecting = records.ConnectRequested(op_id="op-1")
        for _ in range(records_total):
            earlier.append([connecting], Context(session_id="session-1"))
        await earlier.release()
        read = journal.read

        async def counted(run_id: str, *, after: int = 0, limit: int | None = None) -> list[Envelope]:
            reads.append(after)
            return await read(run_id, after=after, limit=limit)

        monkeypatch.setattr(journal, "read", counted)
        run = await Run.open(journal, "run-1")
        assert len(reads) == reads_total
        assert run.has_connected("session-1") == bool(records_total)


@pytest.mark.asyncio
async def test_a_run_that_is_begun_reads_nothing_and_its_name_must_be_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_journal("memory:") as journal:
        monkeypatch.setattr(journal, "read", None)
        run = await Run.begin(journal, "run-1")
        await run.durable(run.append([records.ConnectRequested(op_id="op-1")], Context()))
        with pytest.raises(JournalConflict):
            await Run.begin(journal, "run-1")


@pytest.mark.asyncio
async def test_a_journal_that_cannot_begin_a_run_opens_it() -> None:
    run = await Run.begin(FaultJournal(), "run-1")
    await run.durable(run.append([records.ConnectRequested(op_id="op-1")], Context()))
    assert run.head.seq == 1


@pytest.mark.asyncio
async def test_an_observer_is_told_of_every_record_that_a_run_takes() -> None:
    seen: list[Observation] = []
    two = [records.ConnectRequested(op_id="op-1"), records.Connected(op_id="op-1", connection_id="conn-1")]
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, "run-1", clock=lambda: 7, observe=seen.append)
        run.append(two, Context("agent-1", "session-1", "turn-1"))
    assert seen == [
        Observation(
            run_id="run-1",
            record=record,
            at_ns=7,
            agent_id="agent-1",
            session_id="session-1",
            turn_id="turn-1",
        )
        for record in two
    ]
