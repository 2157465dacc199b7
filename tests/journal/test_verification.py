"""What `verify` names: the very record that is bad, each damage once, and what steers a later writer."""

from pathlib import Path

import apsw
import pytest

from agentfield_journal import StoreJournal, codec, open_journal, verify
from agentfield_journal.retirement import archive_runs
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.sqlite_connection import connect
from agentfield_journal.testing import make_draft


async def fill(journal: StoreJournal, run_id: str, records: int) -> None:
    writer = await journal.open_run(run_id)
    writer.append([make_draft(number) for number in range(1, records + 1)])
    await writer.release()


def change(path: Path, statements: str) -> None:
    """As whoever can write the file might."""
    database = connect(path, apsw.SQLITE_OPEN_READWRITE, None)
    database.execute(statements)
    database.close()


@pytest.mark.asyncio
async def test_a_record_of_a_newer_version_is_named_itself() -> None:
    store = MemoryStore()
    journal = StoreJournal(store)
    await fill(journal, "run-1", 8)
    rows = store.page("run-1", 0, 8).rows
    newer = rows[5][1].replace(b"\xa6format\x01", b"\xa6format\x02")
    rows[5] = (6, newer, codec.link(newer, rows[4][2]))
    store._rows["run-1"] = rows  # pyright: ignore[reportPrivateUsage]
    (finding,) = (await verify(journal)).findings
    assert (finding.run_id, finding.seq) == ("run-1", 6)
    assert "format 2" in finding.problem
    await journal.close()


@pytest.mark.asyncio
async def test_damaged_checkpoints_are_read_and_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(f"sqlite:///{path}") as journal:
        await fill(journal, "run-1", 1)
        await fill(journal, "journal/checkpoints", 3)
    change(path, "UPDATE records SET hash = zeroblob(32) WHERE run = 2 AND seq = 2")
    async with open_journal(f"sqlite:///{path}", read_only=True) as journal:
        found = [finding.problem for finding in (await verify(journal)).findings]
    assert len([problem for problem in found if "checkpoints cannot be read" in problem]) == 1


@pytest.mark.asyncio
async def test_an_epoch_that_was_set_back_is_a_finding_of_its_run(tmp_path: Path) -> None:
    """A new writer would get an epoch that another one had, which fences nobody out."""
    path = tmp_path / "journal.db"
    async with open_journal(f"sqlite:///{path}") as journal:
        await fill(journal, "run-1", 3)
        await fill(journal, "run-2", 3)
        writer = await journal.open_run("run-2")
        await writer.durable(writer.append([make_draft(4)]))
    async with open_journal(f"sqlite:///{path}", read_only=True) as journal:
        assert (await verify(journal)).sound
    change(path, "UPDATE runs SET epoch = epoch - 1 WHERE run_id = 'run-2'")
    async with open_journal(f"sqlite:///{path}", read_only=True) as journal:
        for run_id in (None, "run-2"):
            (finding,) = (await verify(journal, run_id=run_id)).findings
            assert finding.run_id == "run-2" and "set back" in finding.problem
        assert (await verify(journal, run_id="run-1")).sound


@pytest.mark.asyncio
async def test_an_epoch_that_was_set_back_on_a_server_is_a_finding(postgres_url: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    async with open_journal(postgres_url) as journal:
        await fill(journal, "run-1", 3)
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE agentfield_journal.runs SET epoch = 0")
        (finding,) = (await verify(journal)).findings
        assert finding.run_id == "run-1" and "set back" in finding.problem


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END", "trigger 't'"),
        ("CREATE VIEW v AS SELECT * FROM records", "view 'v'"),
        ("CREATE TABLE notes (note TEXT)", "table 'notes'"),
        ("CREATE INDEX i ON records (hash)", "index 'i'"),
        ("DROP INDEX records_by_block", "lacks the index 'records_by_block'"),
    ],
)
@pytest.mark.parametrize("archived", [False, True])
async def test_what_the_schema_should_not_have_is_a_finding(
    tmp_path: Path, statement: str, problem: str, archived: bool
) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(f"sqlite:///{path}") as journal:
        await fill(journal, "run-1", 3)
        archive = await archive_runs(journal, ["run-1"]) if archived else None
    change(archive or path, statement)
    async with open_journal(f"sqlite:///{path}", read_only=True) as journal:
        (finding,) = (await verify(journal)).findings
    assert problem in finding.problem and str(archive or path) in finding.problem
