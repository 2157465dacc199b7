"""Journals of every released format are read, verified and re-encoded as they were."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentfield_journal import open_journal, verify
from agentfield_journal.evidence.notes import VerifierKey
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


@each_golden
def test_the_reader_of_the_format_description_agrees(golden: Path) -> None:
    program = JOURNAL / "read_journal.py"
    assert len([line for line in program.read_text().splitlines() if line.strip()]) <= 60
    for run_id in RUNS:
        done = subprocess.run(
            [sys.executable, "-I", program, golden / "journal.db", run_id], capture_output=True, check=True
        )
        read = [json.loads(line) for line in done.stdout.splitlines()]
        lines = (golden / "records.jsonl").read_text(encoding="utf-8").splitlines()
        expected = [record for record in map(json.loads, lines) if record["run_id"] == run_id]
        for record in expected:
            del record["prev_hash"]
        for record in read:
            del record["format"]
        assert read == expected
