"""Runs travel as files that prove themselves; journals are upgraded, counted and exported."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentfield_journal import JournalConflict, StoreJournal, open_journal, verify
from agentfield_journal.evidence import merkle
from agentfield_journal.evidence.checkpoints import Checkpointer, Leaf
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.testing import make_draft
from agentfield_journal.tools import (
    export_json_lines,
    export_parquet,
    export_run,
    import_run,
    measure,
    upgrade_journal,
    verify_export,
    verify_path,
)


@pytest.fixture
def signer() -> Signer:
    return Signer.generate("example.org/journal")


async def fill(journal: StoreJournal, *run_ids: str) -> None:
    for run_id in run_ids:
        writer = await journal.open_run(run_id)
        writer.append([make_draft(number) for number in range(1, 1_204)])
        await writer.release()


@pytest.mark.asyncio
async def test_an_exported_run_proves_itself_and_is_imported_byte_for_byte(
    tmp_path: Path, signer: Signer
) -> None:
    file = tmp_path / "run-2.jsonl"
    async with open_journal("memory:") as journal:
        await fill(journal, "run-1", "run-2", "run-3")
        checkpointer = await Checkpointer.open(journal, signer)
        await checkpointer.checkpoint()
        await checkpointer.rotate(new := Signer.generate(signer.verifier.name))
        await fill(journal, "run-4")
        await checkpointer.checkpoint()
        seen: list[int] = []
        header = await export_run(journal, "run-2", file, progress=seen.append)
        assert (header.records, seen[-1]) == (1_203, 1_203)
        before = await journal.read("run-2")
    assert new.verifier != signer.verifier
    report = verify_export(file, trusted=[signer.verifier])
    assert report.sound and report.checkpoints == 1
    assert not verify_export(file, trusted=[Signer.generate(signer.verifier.name).verifier]).sound
    async with open_journal(f"sqlite:///{tmp_path}/other.db") as journal:
        assert await import_run(journal, file) == 1_203
        assert await journal.read("run-2") == before
        with pytest.raises(JournalConflict, match="already"):
            await import_run(journal, file)
        writer = await journal.open_run("run-2")
        assert writer.append([make_draft(1)]).seq == 1
        await writer.durable(writer.append([make_draft(9_999)]))
        assert (await verify(journal)).sound


@pytest.mark.asyncio
async def test_any_change_of_an_exported_run_is_found(tmp_path: Path, signer: Signer) -> None:
    file = tmp_path / "run.jsonl"
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(number) for number in range(1, 9)]))
        await (await Checkpointer.open(journal, signer)).checkpoint()
        await export_run(journal, "run-1", file)
    lines = file.read_bytes().splitlines()
    changed = lines[4].replace(b'"body":"', b'"body":"AAAA')
    swapped = [*lines[:3], lines[4], lines[3], *lines[5:]]
    for damaged, seq in (
        ([*lines[:4], changed, *lines[5:]], 4),
        ([*lines[:4], *lines[5:]], 4),
        (swapped, 3),
        (lines[:-1], 8),
        ([lines[0].replace(b"run-1", b"run-2"), *lines[1:]], 1),
    ):
        file.write_bytes(b"\n".join(damaged) + b"\n")
        (finding,) = verify_export(file, trusted=[signer.verifier]).findings
        assert finding.seq == seq


@pytest.mark.asyncio
async def test_an_exported_run_is_compared_with_checkpoints_from_elsewhere(
    tmp_path: Path, signer: Signer
) -> None:
    """With its leaves with any of them; without only with the one it carries."""
    bare, whole, notes = tmp_path / "bare.jsonl", tmp_path / "whole.jsonl", list[str]()
    async with open_journal("memory:") as journal:
        checkpointer = await Checkpointer.open(journal, signer)
        writer = await journal.open_run("run-1")
        for number in range(1, 5):
            await writer.durable(writer.append([make_draft(number)]))
            await fill(journal, f"other-{number}")
            notes.append(await checkpointer.checkpoint() or "")
        await export_run(journal, "run-1", bare)
        await export_run(journal, "run-1", whole, leaves=True)
        await fill(journal, "other-5")
        later = await checkpointer.checkpoint() or ""
    trusted = [signer.verifier]
    report = verify_export(whole, trusted=trusted, earlier=notes)
    assert report.sound and report.checkpoints == 4
    assert verify_export(whole, earlier=notes[:1]).sound
    assert verify_export(bare, trusted=trusted, earlier=notes).sound
    (finding,) = verify_export(bare, trusted=trusted, earlier=notes[:2]).findings
    assert "export it with the leaves" in finding.problem
    (finding,) = verify_export(whole, trusted=trusted, earlier=[later]).findings
    assert "its leaves are 8" in finding.problem
    (report,) = (await verify_path(whole, trusted=trusted, earlier=[later])).values()
    assert not report.sound


async def export_of_another_history(path: Path, signer: Signer, *, records: int, leaves: bool) -> list[str]:
    """A run of so many records of its own, three times checkpointed; the notes."""
    notes: list[str] = []
    async with open_journal("memory:") as journal:
        checkpointer = await Checkpointer.open(journal, signer)
        writer = await journal.open_run("run-1")
        for number in range(1, records + 1):
            await writer.durable(writer.append([make_draft(number)]))
            notes.append(await checkpointer.checkpoint() or "")
        await export_run(journal, "run-1", path, leaves=leaves)
    return notes


@pytest.mark.asyncio
@pytest.mark.parametrize("leaves", [True, False])
async def test_an_export_of_a_rewritten_journal_is_found_by_an_earlier_checkpoint(
    tmp_path: Path, signer: Signer, leaves: bool
) -> None:
    """Whoever has the key can write a journal anew, but not what was published before."""
    true, short, forged = tmp_path / "true.jsonl", tmp_path / "short.jsonl", tmp_path / "forged.jsonl"
    notes = await export_of_another_history(true, signer, records=3, leaves=leaves)
    await export_of_another_history(short, signer, records=2, leaves=leaves)
    async with open_journal("memory:") as journal:
        checkpointer = await Checkpointer.open(journal, signer)
        writer = await journal.open_run("run-1")
        for number in (1, 7, 3):
            await writer.durable(writer.append([make_draft(number)]))
            await checkpointer.checkpoint()
        await export_run(journal, "run-1", forged, leaves=leaves)
    assert verify_export(true, trusted=[signer.verifier], earlier=notes).sound
    for path in (short, forged):
        assert verify_export(path, trusted=[signer.verifier]).sound
        assert not verify_export(path, trusted=[signer.verifier], earlier=notes[-1:]).sound


@pytest.mark.asyncio
async def test_an_export_that_leaves_out_the_run_s_end_is_found_by_its_leaves(
    tmp_path: Path, signer: Signer
) -> None:
    file, cut = tmp_path / "run.jsonl", tmp_path / "cut.jsonl"
    await export_of_another_history(file, signer, records=3, leaves=True)
    await export_of_another_history(cut, signer, records=2, leaves=True)
    head, *lines = file.read_bytes().splitlines()
    header, shorter = json.loads(head), json.loads(cut.read_bytes().splitlines()[0])
    assert verify_export(file).sound
    for proof in (header["checkpoint"], {**header["checkpoint"], **_leaf_of(header, 1)}):
        forged = {**shorter, "checkpoint": proof}
        cut.write_bytes(b"\n".join([json.dumps(forged).encode(), *lines[:2]]) + b"\n")
        (finding,) = verify_export(cut, trusted=[signer.verifier]).findings
        assert finding.seq == 3 and "is missing that a checkpoint saw" in finding.problem


def _leaf_of(header: dict[str, Any], index: int) -> dict[str, object]:
    """A true proof of an older head of the run."""
    leaves = [
        Leaf(run_id, seq, bytes.fromhex(digest)) for run_id, seq, digest in header["checkpoint"]["leaves"]
    ]
    proof = merkle.inclusion_proof([leaf.digest() for leaf in leaves], index)
    leaf = header["checkpoint"]["leaves"][index]
    return {"leaf": leaf, "index": index, "proof": [digest.hex() for digest in proof]}


@pytest.mark.asyncio
async def test_an_upgrade_copies_into_a_new_journal_and_leaves_the_old_one(
    tmp_path: Path, signer: Signer
) -> None:
    source, target = f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new/journal.db"
    async with open_journal(source) as journal:
        await fill(journal, "run-1", "run-2")
        await (await Checkpointer.open(journal, signer)).checkpoint()
        before = await journal.read("run-1")
    old_bytes = (tmp_path / "old.db").read_bytes()
    report = await upgrade_journal(source, target)
    assert report.sound and report.records == 2 * 1_203 + 1
    assert (tmp_path / "old.db").read_bytes() == old_bytes
    async with open_journal(target) as journal:
        assert await journal.read("run-1") == before
        assert (await verify(journal, trusted=[signer.verifier])).checkpoints == 1
    with pytest.raises(JournalConflict, match="not empty"):
        await upgrade_journal(source, target)
    reports = await verify_path(tmp_path, trusted=[signer.verifier])
    assert len(reports) == 2 and all(found.sound for found in reports.values())


@pytest.mark.asyncio
async def test_figures_and_json_lines_agree(tmp_path: Path) -> None:
    async with open_journal("memory:") as journal:
        await fill(journal, "run-1", "run-2")
        stats = await measure(journal)
        assert (stats.runs, stats.records) == (2, 2_406)
        assert stats.kinds == {"realtime_input_sent": 2_406}
        assert await export_json_lines(journal, tmp_path / "all.jsonl") == 2_406
        lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
        assert lines[0]["payload"] == {"n": 1} and lines[-1]["seq"] == 1_203


@pytest.mark.asyncio
async def test_a_parquet_table_holds_what_the_journal_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentfield_journal.tools.analysis._ROW_GROUP_RECORDS", 1_000)
    file = tmp_path / "all.parquet"
    async with open_journal("memory:") as journal:
        await fill(journal, "run-1", "run-2")
        assert await export_parquet(journal, file) == 2_406
        records = await journal.read("run-2")
        with pytest.raises(FileExistsError):
            await export_parquet(journal, file)
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.ParquetFile(file).num_row_groups == 3
    table = parquet.read_table(file).to_pylist()
    assert [row["hash"] for row in table[:1_203]] == [record.hash.hex() for record in records]
    assert table[0]["payload"] == '{"n": 1}' and table[0]["causal_refs"] == list(records[0].causal_refs)
