"""A run as it is opened: what is read of it, and what is not."""

import pytest

from agentfield_journal import Envelope, open_journal
from agentfield_rt import Run
from agentfield_rt.core import records
from agentfield_rt.run import _PAGE_RECORDS as PAGE_RECORDS  # pyright: ignore[reportPrivateUsage]
from agentfield_rt.run import Context


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
