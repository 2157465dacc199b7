"""Journals of every released format are read, verified and re-encoded as they were."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from agentfield_journal import open_journal, verify
from agentfield_journal.evidence.notes import Signer, VerifierKey
from agentfield_journal.retirement import archive_runs, expire_runs
from agentfield_journal.stores.sqlite_connection import connect
from tests.journal.golden import as_json, drafts

JOURNAL = Path(__file__).parents[2] / "journal"
GOLDEN = sorted(path for path in (JOURNAL / "golden").iterdir() if path.is_dir())
RUNS = ("run-1", "läuft 🙂")

each_golden = pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)


def test_there_is_a_golden_journal() -> None:
    assert [path.name for path in GOLDEN] == ["1"]


@each_golden
@pytest.mark.asyncio
async def test_a_golden_journal_is_read_and_verified(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden / "journal.db", tmp_path)
    key = VerifierKey.parse((golden / "verifier-key").read_text())
    async with open_journal(f"sqlite:///{tmp_path}/journal.db", read_only=True) as journal:
        found = [as_json(record) for run_id in RUNS for record in await journal.read(run_id)]
        assert found == (golden / "records.jsonl").read_text(encoding="utf-8").splitlines()
        report = await verify(journal, trusted=[key])
        assert report.sound and report.checkpoints == 1


@pytest.mark.asyncio
async def test_records_are_encoded_today_as_in_the_golden_journal(tmp_path: Path) -> None:
    shutil.copy(JOURNAL / "golden" / "1" / "journal.db", tmp_path)
    async with open_journal("memory:") as fresh, open_journal(f"sqlite:///{tmp_path}/journal.db") as golden:
        writer = await fresh.open_run("run-1")
        await writer.durable(writer.append(drafts()))
        rows = fresh.store.page("run-1", 0, 100).rows
        assert rows == golden.store.page("run-1", 0, len(rows)).rows
        # An equal append is recognised across versions.
        assert (await golden.open_run("run-1")).append(drafts()[:3]).seq == 3


def read_plainly(journal: Path, *run: str) -> subprocess.CompletedProcess[str]:
    """What the reader of the format description says, with nothing but the standard library."""
    program: list[str | Path] = [sys.executable, "-I", JOURNAL / "read_journal.py", journal, *run]
    return subprocess.run(program, capture_output=True, text=True, encoding="utf-8", check=False)


def test_the_reader_of_the_format_description_is_short() -> None:
    program = (JOURNAL / "read_journal.py").read_text()
    assert len([line for line in program.splitlines() if line.strip()]) <= 64


@each_golden
def test_the_reader_of_the_format_description_agrees(golden: Path, tmp_path: Path) -> None:
    journal = Path(shutil.copy(golden / "journal.db", tmp_path))
    lines = (golden / "records.jsonl").read_text(encoding="utf-8").splitlines()
    for run_id in RUNS:
        read = [json.loads(line) for line in read_plainly(journal, run_id).stdout.splitlines()]
        expected = [record for record in map(json.loads, lines) if record["run_id"] == run_id]
        for record in expected:
            del record["prev_hash"]
        for record in read:
            del record["format"]
        assert read == expected
    assert len(read_plainly(journal).stdout.splitlines()) == len(lines) + 2  # of checkpoints


@pytest.mark.asyncio
async def test_the_reader_of_the_format_description_finds_archived_runs(tmp_path: Path) -> None:
    path = tmp_path / "a journal#1.db"
    signer = Signer("golden.example/journal", bytes(32))
    async with open_journal(f"sqlite:///{path}") as journal:
        for run_id in ("here", "archived", "expired"):
            writer = await journal.open_run(run_id)
            writer.append(drafts())
            await writer.release()
        await archive_runs(journal, ["archived", "expired"])
        await expire_runs(journal, ["expired"], signer)
        heads = {head.run_id: head.hash.hex() for head in await journal.heads()}
    for run_id in ("here", "archived"):
        assert json.loads(read_plainly(path, run_id).stdout.splitlines()[-1])["hash"] == heads[run_id]
    *_, stone = map(json.loads, read_plainly(path).stdout.splitlines())
    assert stone["kind"] == "run_expired" and stone["payload"]["run_id"] == "expired"
    for run_id in ("expired", "unknown"):
        done = read_plainly(path, run_id)
        assert done.returncode == 1 and f"there is no run {run_id}" in done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA user_version = 2",
        "PRAGMA application_id = 7",
        "UPDATE records SET hash = zeroblob(32) WHERE id = 9",
    ],
)
def test_the_reader_of_the_format_description_refuses_what_it_does_not_know(
    tmp_path: Path, statement: str
) -> None:
    journal = Path(shutil.copy(JOURNAL / "golden" / "1" / "journal.db", tmp_path))
    database = connect(journal, apsw.SQLITE_OPEN_READWRITE, None)
    database.execute(statement)
    database.close()
    done = read_plainly(journal, "run-1")
    assert done.returncode == 1
    assert "newer format" in done.stderr and "Traceback" not in done.stderr
