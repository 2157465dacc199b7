"""Finished runs leave the file and stay part of the journal; expired ones leave a tombstone."""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import pytest

from agentfield_journal import JournalConflict, JournalCorrupt, StoreJournal, open_journal, verify
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.retirement import archive_runs, expire_runs, tombstones
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.stores.sqlite_connection import connect
from agentfield_journal.testing import make_draft
from agentfield_journal.tools import verify_path


def archive_files(folder: Path) -> list[str]:
    """What archives left of themselves there."""
    return sorted(path.name for path in folder.iterdir() if ".archive.db" in path.name)


@pytest.mark.asyncio
async def test_an_archive_that_a_crash_left_unused_is_removed_at_the_next_opening(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with open_journal(url) as journal:
        await fill(journal, "run-1", "run-2")
        used = await archive_runs(journal, ["run-1"])
        store = journal.store
        assert isinstance(store, SqliteStore) and used is not None
        copied = await journal.on_reader(lambda: store.copy_to_archive(["run-2"]))
        assert copied is not None  # and here the process ends
        copied[0].with_name("journal-0123456789abcdef.archive.db").touch()
    async with open_journal(url) as journal:
        assert not copied[0].exists()
        assert [name for name in archive_files(tmp_path) if name.endswith(".db")] == [used.name]
        assert len(await journal.read("run-2")) == 1_499
        assert (await verify(journal)).sound


@pytest.mark.asyncio
async def test_an_unused_archive_is_kept_when_it_holds_what_the_journal_does_not(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with open_journal(url) as journal:
        await fill(journal, "run-1")
    older = (tmp_path / "journal.db").read_bytes()
    async with open_journal(url) as journal:
        await fill(journal, "run-2")
        path = await archive_runs(journal, ["run-2"])
    (tmp_path / "journal.db").write_bytes(older)
    async with open_journal(url) as journal:
        assert path is not None and path.exists()
        assert await journal.run_ids() == ["run-1"]


@pytest.fixture
def signer() -> Signer:
    return Signer.generate("example.org/journal")


async def fill(journal: StoreJournal, *run_ids: str) -> None:
    for run_id in run_ids:
        writer = await journal.open_run(run_id)
        writer.append([make_draft(number) for number in range(1, 1_500)])
        await writer.release()


def open_archives(folder: Path) -> set[str]:
    """Those that this process has open."""
    files = {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
    return {file for file in files if file.startswith(f"{folder}/journal-")}


@pytest.mark.asyncio
async def test_however_many_archives_are_read_few_are_open(tmp_path: Path) -> None:
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        names = [f"run-{number}" for number in range(20)]
        for run_id in names:
            writer = await journal.open_run(run_id)
            writer.append([make_draft(1)])
            await writer.release()
            await archive_runs(journal, [run_id])
        for _ in range(2):
            assert [head.run_id for head in await journal.heads()] == names[::-1]
            assert (await verify(journal)).sound
        assert 0 < len(open_archives(tmp_path)) <= 16


@pytest.mark.asyncio
async def test_a_refused_run_leaves_the_file_whole_without_its_log(tmp_path: Path) -> None:
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        await fill(journal, "run-1", "run-2")
        await archive_runs(journal, ["run-1"])
        with pytest.raises(JournalConflict, match="is archived"):
            await journal.open_run("run-1")
        await fill(journal, "run-3")
    (tmp_path / "journal.db-wal").unlink(missing_ok=True)
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        assert [len(await journal.read(run_id)) for run_id in ("run-1", "run-2", "run-3")] == [1_499] * 3
        assert (await verify(journal)).sound


@pytest.mark.asyncio
async def test_archived_runs_are_still_listed_read_and_verified(tmp_path: Path, signer: Signer) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with open_journal(url) as journal:
        await fill(journal, "run-1", "run-2", "run-3")
        await (await Checkpointer.open(journal, signer)).checkpoint()
        before = await journal.heads(), await journal.read("run-2")
        archive = await archive_runs(journal, ["run-1", "run-2", "no such run"])
        assert archive is not None and archive.exists()
        assert await archive_runs(journal, ["run-1"]) is None
        assert (await journal.heads(), await journal.read("run-2")) == before
        assert await journal.read("run-2", after=1_499) == []
        with pytest.raises(JournalConflict, match="archived"):
            await journal.open_run("run-1")
    async with open_journal(url, read_only=True) as journal:
        assert await journal.read("run-2", after=700, limit=9) == before[1][700:709]
        report = await verify(journal, trusted=[signer.verifier])
        assert report.sound and report.runs == 3 and report.records == 3 * 1_499 + 1
    async with open_journal(f"sqlite:///{archive}", read_only=True) as alone:
        assert (await verify(alone)).records == 2 * 1_499
    archive.unlink()
    async with open_journal(url) as journal:
        assert len((await verify(journal)).findings) >= 2


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.asyncio
async def test_an_expired_run_leaves_a_tombstone_and_no_bytes(
    archived: bool, tmp_path: Path, signer: Signer
) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with open_journal(url) as journal:
        await fill(journal, "run-1", "run-2")
        checkpointer = await Checkpointer.open(journal, signer)
        await checkpointer.checkpoint()
        head = next(head for head in await journal.heads() if head.run_id == "run-1")
        if archived:
            await archive_runs(journal, ["run-1", "run-2"])
        (stone,) = await expire_runs(journal, ["run-1"], signer)
        assert (stone.seq, stone.hash) == (1_499, head.hash)
        assert await expire_runs(journal, ["run-1"], signer) == []
        assert await journal.read("run-1") == []
        assert [head.run_id for head in await journal.heads()] == ["run-2"]
        with pytest.raises(JournalConflict, match="expired"):
            await journal.open_run("run-1")
        await checkpointer.checkpoint()
    async with open_journal(url) as journal:
        assert await tombstones(journal) == [stone]
        assert (await verify(journal, trusted=[signer.verifier])).sound
        stranger = Signer.generate(signer.verifier.name)
        assert not (await verify(journal, trusted=[stranger.verifier])).sound
    assert _count_in_files(tmp_path, b"\xa8record-7\xa4kind") == 1, "bytes of the expired run are left"


def _count_in_files(folder: Path, needle: bytes) -> int:
    """How often `needle` occurs in journal and archive files: once in each run that has the record."""
    return sum(path.read_bytes().count(needle) for path in folder.glob("*.db*"))


@pytest.mark.asyncio
async def test_a_run_that_is_continued_while_it_is_copied_stays_whole(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, may_go_on = threading.Event(), threading.Event()
    copy = SqliteStore.copy_to_archive

    def copy_and_wait(store: SqliteStore, run_ids: Sequence[str]) -> tuple[Path, list[str]] | None:
        result = copy(store, run_ids)
        copied.set()
        assert may_go_on.wait(10)
        return result

    monkeypatch.setattr(SqliteStore, "copy_to_archive", copy_and_wait)
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        await fill(journal, "run-1", "run-2")
        archiving = asyncio.create_task(archive_runs(journal, ["run-1", "run-2"]))
        await asyncio.to_thread(copied.wait)
        opening = asyncio.create_task(journal.open_run("run-2"))
        await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(JournalConflict, match="open for writing"):
            await archiving
        writer = await opening
        await writer.durable(writer.append([make_draft(1_500)]))
        await writer.release()
        assert len(await journal.read("run-2")) == 1_500
        assert len(await journal.read("run-1")) == 1_499
        assert (await verify(journal)).sound
        await expire_runs(journal, ["run-2"], signer)
        assert await journal.run_ids() == ["run-1"]
    assert _count_in_files(tmp_path, b"\xa8record-7\xa4kind") == 1, "a copy of the expired run is left"


@pytest.mark.asyncio
async def test_a_run_that_grew_before_it_left_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, may_go_on = asyncio.Event(), asyncio.Event()

    async def copy_and_wait(journal: StoreJournal, job: Callable[[], object]) -> object:
        result = job()
        copied.set()
        await may_go_on.wait()
        return result

    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        await fill(journal, "run-1")
        monkeypatch.setattr(StoreJournal, "on_reader", copy_and_wait)
        archiving = asyncio.create_task(archive_runs(journal, ["run-1"]))
        await copied.wait()
        writer = await journal.open_run("run-1")
        writer.append([make_draft(1_500)])
        await writer.release()
        may_go_on.set()
        with pytest.raises(JournalConflict, match="continued"):
            await archiving
        assert len(await journal.read("run-1")) == 1_500


@pytest.mark.asyncio
async def test_a_run_that_is_being_written_does_not_leave(tmp_path: Path, signer: Signer) -> None:
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        writer = await journal.open_run("run-1")
        writer.append([make_draft(1)])
        with pytest.raises(JournalConflict, match="open for writing"):
            await archive_runs(journal, ["run-1"])
        with pytest.raises(JournalConflict, match="open for writing"):
            await expire_runs(journal, ["run-1"], signer)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "name",
    [
        "CAST(x'6a002e617263686976652e6462' AS TEXT)",  # a NUL in it
        "CAST(x'ff2e617263686976652e6462' AS TEXT)",  # no UTF-8
        "''",
        "7",
        "'journal.db'",
        "'../journal.archive.db'",
        "'/etc/passwd.archive.db'",
        "'journal-gone.archive.db'",
        "replace(hex(zeroblob(300)), '0', 'a') || '.archive.db'",  # too long for a file
    ],
)
async def test_an_archive_s_name_that_is_damaged_is_a_finding(tmp_path: Path, name: str) -> None:
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        for run_id in ("run-1", "run-2"):
            writer = await journal.open_run(run_id)
            writer.append([make_draft(1)])
            await writer.release()
        assert await archive_runs(journal, ["run-1"]) is not None
    database = connect(tmp_path / "journal.db", apsw.SQLITE_OPEN_READWRITE, None)
    database.execute(f"UPDATE archives SET file = {name}")
    database.close()
    reports = await verify_path(tmp_path / "journal.db")
    assert not reports[tmp_path / "journal.db"].sound
    async with open_journal(f"sqlite:///{tmp_path}/journal.db", read_only=True) as journal:
        with pytest.raises(JournalCorrupt):
            await journal.read("run-1")
        assert len(await journal.read("run-2")) == 1
