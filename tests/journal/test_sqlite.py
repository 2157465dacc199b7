"""What is particular to the journal file: one writing process, readers beside it, other people's files."""

import asyncio
import sys
import threading
from asyncio.subprocess import PIPE
from pathlib import Path

import apsw
import pytest

from agentfield_journal import (
    FORMAT_VERSION,
    BatchTooLarge,
    JournalConflict,
    JournalFull,
    JournalUnavailable,
    Limits,
    StoreJournal,
    UnknownVersion,
    open_content,
    open_journal,
    verify,
)
from agentfield_journal.stores import sqlite
from agentfield_journal.stores.lock import FileLock
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.stores.sqlite_connection import connect
from agentfield_journal.testing import make_draft


def edit(path: Path, statement: str) -> None:
    db = connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, None)
    db.execute(statement)
    db.close()


@pytest.mark.parametrize("remembered_max", [0, 1, 3])
@pytest.mark.asyncio
async def test_runs_that_are_not_remembered_go_on_where_the_file_says(
    remembered_max: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "OPEN_RUNS_MAX", remembered_max)
    store = SqliteStore(tmp_path / "journal.db", reserve_bytes=0)
    journal = StoreJournal(store)
    begun = [await journal.begin_run(f"begun-{number}") for number in range(4)]
    opened = [await journal.open_run(f"opened-{number}") for number in range(4)]
    for place in range(6):
        for writer in (*begun, *opened):
            cursor = writer.append([make_draft(2 * place), make_draft(2 * place + 1)])
            if place % 2:  # some in a group of their own, some with others
                await writer.durable(cursor)
    stale = await journal.begin_run("stale")
    await stale.durable(stale.append([make_draft(1)]))
    newer = await journal.open_run("stale")
    with pytest.raises(JournalConflict):
        await stale.durable(stale.append([make_draft(2)]))
    await newer.durable(newer.append([make_draft(2)]))
    await newer.release()
    taken = await journal.begin_run("stale")
    with pytest.raises(JournalConflict):
        await taken.durable(taken.append([make_draft(1)]))
    for writer in (*begun, *opened):
        await writer.durable(writer.head)
        assert [record.seq for record in await journal.read(writer.run_id)] == list(range(1, 13))
    assert await journal.integrity_problems() == []
    assert len(store._open_runs) <= remembered_max  # pyright: ignore[reportPrivateUsage]
    await journal.close()


@pytest.mark.asyncio
async def test_a_second_writing_process_is_told_who_holds_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    program = f"""
import asyncio
from agentfield_journal import open_journal
async def main():
    async with open_journal("{url}") as journal:
        writer = await journal.open_run("run-1")
        print("open", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"open\n"
    with pytest.raises(JournalConflict, match=f"process {child.pid}.*read_only=True"):
        await open_journal(url)
    child.kill()
    await child.wait()
    async with open_journal(url) as journal:
        assert await journal.heads() == []


@pytest.mark.asyncio
async def test_a_reader_follows_a_writer_in_another_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    program = f"""
import asyncio
from agentfield_journal import open_journal
async def main():
    async with open_journal("{url}", read_only=True) as journal:
        async for record in journal.subscribe("run-1"):
            print(record.seq, flush=True)
            if record.seq == 30:
                return
asyncio.run(main())
"""
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
        assert child.stdout is not None
        seen = [int(await child.stdout.readline())]
        for number in range(2, 31):
            await writer.durable(writer.append([make_draft(number)]))
        rest, _ = await child.communicate()
    seen += map(int, rest.split())
    assert seen == list(range(1, 31))


@pytest.mark.asyncio
async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    with pytest.raises(JournalUnavailable, match="does not exist"):
        await open_journal(url, read_only=True)
    async with open_journal(url), open_journal(url, read_only=True) as reader:
        with pytest.raises(JournalUnavailable, match="reading only"):
            await reader.open_run("run-1")


@pytest.mark.asyncio
async def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    edit(tmp_path / "other.db", "CREATE TABLE customers (name)")
    with pytest.raises(JournalConflict, match="something else"):
        await open_journal(f"sqlite:///{tmp_path}/other.db")


@pytest.mark.asyncio
async def test_a_file_of_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    await (await open_journal(url)).close()
    edit(tmp_path / "journal.db", f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    for read_only in (False, True):
        with pytest.raises(UnknownVersion, match=f"format {FORMAT_VERSION + 1}"):
            await open_journal(url, read_only=read_only)


@pytest.mark.asyncio
async def test_a_full_queue_takes_nothing_of_the_batch(tmp_path: Path) -> None:
    limits = Limits(queued_records_max=10)
    async with open_journal(f"sqlite:///{tmp_path}/journal.db", limits=limits) as journal:
        writer = await journal.open_run("run-1")
        writer.append([make_draft(number) for number in range(8)])
        with pytest.raises(JournalFull, match="nothing of this batch"):
            writer.append([make_draft(8), make_draft(9), make_draft(10)])
        assert writer.head.seq == 8
        await writer.durable(writer.append([make_draft(11), make_draft(12)]))
        await writer.durable(writer.append([make_draft(8), make_draft(9), make_draft(10)]))
        assert [record.seq for record in await journal.read("run-1")] == list(range(1, 14))


@pytest.mark.asyncio
async def test_what_waits_for_the_disk_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    limits = Limits(queued_bytes_max=10_000)
    async with open_journal(f"sqlite:///{tmp_path}/journal.db", limits=limits) as journal:
        writer = await journal.open_run("run-1")
        for _ in range(3):  # what is stored makes room again
            writer.append([make_draft(writer.head.seq, payload=bytes(6_000))])
            with pytest.raises(JournalFull, match="nothing of this batch"):
                writer.append([make_draft(99, payload=bytes(6_000))])
            await writer.durable(writer.head)
        with pytest.raises(BatchTooLarge, match="at most 10000"):
            writer.append([make_draft(99, payload=bytes(10_000))])
        assert [record.seq for record in await journal.read("run-1")] == [1, 2, 3]


@pytest.mark.asyncio
async def test_an_edited_record_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(number) for number in range(1, 21)]))
        await (await journal.open_run("run-2")).release()
    edit(
        tmp_path / "journal.db",
        "UPDATE records SET body = CAST(replace(body, x'a16e01', x'a16e02') AS BLOB) WHERE seq = 13",
    )
    async with open_journal(url) as journal:
        report = await verify(journal)
        assert [(finding.run_id, finding.seq) for finding in report.findings] == [("run-1", 13)]


def test_an_unknown_url_says_what_would_work() -> None:
    with pytest.raises(ValueError, match="memory:, sqlite:///"):
        open_journal("mysql://localhost/journal")
    for opening in (open_journal, open_content):
        with pytest.raises(ValueError, match="has the URL memory:"):
            opening("sqlite:///:memory:")


@pytest.mark.asyncio
async def test_an_opening_that_is_given_up_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_open, closed = threading.Event(), threading.Event(), threading.Event()
    take, close = FileLock.__init__, SqliteStore.close

    def take_slowly(lock: FileLock, path: Path) -> None:
        begun.set()
        assert may_open.wait(10)
        take(lock, path)

    def close_and_tell(store: SqliteStore) -> None:
        close(store)
        closed.set()

    monkeypatch.setattr(FileLock, "__init__", take_slowly)
    monkeypatch.setattr(SqliteStore, "close", close_and_tell)
    url = f"sqlite:///{tmp_path}/journal.db"
    opening = asyncio.ensure_future(open_journal(url))
    await asyncio.to_thread(begun.wait)
    opening.cancel()
    await asyncio.wait([opening])
    may_open.set()
    assert await asyncio.to_thread(closed.wait, 10)
    async with open_journal(url) as journal:
        assert await journal.run_ids() == []
