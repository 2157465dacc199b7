"""An exported run from a stranger: cut, empty, interrupted or made up, it changes no journal."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentfield_journal import JournalConflict, JournalCorrupt, open_journal, verify
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.testing import make_draft
from agentfield_journal.tools import export_run, import_run, verify_export, verify_path
from agentfield_journal.tools.exchange import copy_rows, read_export

SIGNER = Signer.generate("example.org/journal")


async def exported(path: Path, records: int) -> Path:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(number) for number in range(1, records + 1)]))
        await (await Checkpointer.open(journal, SIGNER)).checkpoint()
        await export_run(journal, "run-1", path, leaves=True)
    return path


def rewrite(path: Path, **header: Any) -> None:
    first, _, rest = path.read_text().partition("\n")
    path.write_text(json.dumps(json.loads(first) | header) + "\n" + rest)


@pytest.mark.asyncio
@pytest.mark.parametrize("kept", [0, 1, 5])
async def test_an_export_that_was_cut_is_not_imported(tmp_path: Path, kept: int) -> None:
    file = await exported(tmp_path / "run.jsonl", 8)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[: kept + 1]))
    async with open_journal("memory:") as journal:
        with pytest.raises(JournalCorrupt, match="does not end where it says"):
            await import_run(journal, file)
        assert await journal.all_run_ids() == []


@pytest.mark.asyncio
async def test_an_import_that_was_interrupted_goes_on_and_another_history_does_not(tmp_path: Path) -> None:
    file = await exported(tmp_path / "run.jsonl", 8)
    other = await exported(tmp_path / "other.jsonl", 12)
    _, rows = read_export(file)
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        await copy_rows(journal, "run-1", rows[:3])
        assert await import_run(journal, file) == 8
        assert [row[2] for row in await journal.read_rows("run-1", after=0, limit=20)] == [r[2] for r in rows]
        assert (await verify(journal)).sound
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(7)]))
        await writer.release()
        with pytest.raises(JournalConflict, match="already"):
            await import_run(journal, other)


@pytest.mark.asyncio
async def test_the_journals_own_runs_are_not_imported(tmp_path: Path) -> None:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("journal/tombstones")
        await writer.durable(writer.append([make_draft(1)]))
        await export_run(journal, "journal/tombstones", tmp_path / "own.jsonl")
    async with open_journal("memory:") as journal:
        with pytest.raises(JournalConflict, match="for itself"):
            await import_run(journal, tmp_path / "own.jsonl")


@pytest.mark.asyncio
async def test_a_made_up_number_of_writers_does_not_keep_an_import_busy_for_ever(tmp_path: Path) -> None:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        ((seq, body, digest),) = await journal.read_rows("run-1", after=0, limit=1)
    body = body.replace(b"epoch\xcf" + bytes(8 - 1) + b"\x01", b"epoch\xcf" + (1 << 60).to_bytes(8, "big"))
    async with open_journal("memory:") as journal:
        with pytest.raises(JournalConflict, match="writers"):
            await copy_rows(journal, "run-1", [(seq, body, digest)])


@pytest.mark.asyncio
@pytest.mark.parametrize("leaf", [["run-1", 10**30, "00"], ["run-1", -1, "00"], ["run-1", 8, "zz"]])
async def test_a_checkpoint_with_impossible_leaves_is_a_finding(tmp_path: Path, leaf: list[object]) -> None:
    file = await exported(tmp_path / "run.jsonl", 8)
    checkpoint = json.loads(file.read_text().partition("\n")[0])["checkpoint"]
    for changed in ({"leaf": leaf}, {"leaves": [leaf]}):
        rewrite(file, checkpoint=checkpoint | changed)
        assert not verify_export(file, trusted=[SIGNER.verifier]).sound


@pytest.mark.asyncio
async def test_a_header_written_with_spaces_is_read_and_one_too_deep_is_a_finding(tmp_path: Path) -> None:
    file = await exported(tmp_path / "run.jsonl", 8)
    rewrite(file)
    (report,) = (await verify_path(file, trusted=[SIGNER.verifier])).values()
    assert report.sound and report.records == 8
    file.write_bytes(b'{"format":"agentfield-run/1","a":' + b"[" * 100_000)
    (report,) = (await verify_path(file)).values()
    assert not report.sound
