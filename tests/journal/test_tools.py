"""Runs travel as files that prove themselves; journals are upgraded, counted and exported."""

import json
from pathlib import Path

import pytest

from agentfield_journal import JournalConflict, StoreJournal, open_journal, verify
from agentfield_journal.evidence.checkpoints import Checkpointer
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
