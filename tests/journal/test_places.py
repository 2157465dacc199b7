"""Where a journal file lies: behind a link, on a medium nobody can write, out of reach."""

import errno
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import apsw
import pytest

from agentfield_journal import JournalConflict, JournalCorrupt, JournalUnavailable, open_journal, verify
from agentfield_journal.durable_files import create_private
from agentfield_journal.stores import sqlite_file
from agentfield_journal.stores.sqlite_connection import Database, Rows, SqlValue, connect
from agentfield_journal.testing import make_draft
from agentfield_journal.tools import verify_path


async def write(path: Path) -> None:
    async with open_journal(f"sqlite:///{path}") as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        await writer.release()


@pytest.mark.asyncio
async def test_a_second_writer_is_refused_through_a_link_too(tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "journal.db")
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        writer = await journal.open_run("run-1")
        with pytest.raises(JournalConflict, match="is being written by process"):
            await open_journal(f"sqlite:///{link}")
        await writer.durable(writer.append([make_draft(1)]))
    assert os.listdir(link.parent) == ["link.db"]


class _NoSharedMemory:
    """A connection where the memory that readers share cannot be made: the first statement fails."""

    def execute(self, statements: str, bindings: Sequence[SqlValue] = (), /) -> Rows:
        raise apsw.CantOpenError

    def close(self) -> None:
        """Nothing is open."""


def unwritable(path: Path, flags: int, vfs: str | None) -> Database:
    return (
        cast(Database, _NoSharedMemory()) if flags & apsw.SQLITE_OPEN_READONLY else connect(path, flags, vfs)
    )


@pytest.mark.asyncio
async def test_a_journal_on_a_medium_that_nobody_can_write_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(tmp_path / "a #?%.db")
    monkeypatch.setattr(sqlite_file, "connect", unwritable)
    async with open_journal(f"sqlite:///{tmp_path}/a #?%.db", read_only=True) as journal:
        report = await verify(journal)
    assert report.sound and report.records == 1


@pytest.mark.asyncio
async def test_a_journal_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a log beside it the file alone is not the journal."""
    await write(tmp_path / "journal.db")
    (tmp_path / "journal.db-wal").write_bytes(b"left by a crash")
    monkeypatch.setattr(sqlite_file, "connect", unwritable)
    with pytest.raises(JournalUnavailable):
        await verify_path(tmp_path)


@pytest.mark.asyncio
async def test_a_journal_without_its_tables_is_damaged(tmp_path: Path) -> None:
    await write(tmp_path / "journal.db")
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("DROP TABLE spans")
    database.close()
    async with open_journal(f"sqlite:///{tmp_path}/journal.db", read_only=True) as journal:
        with pytest.raises(JournalCorrupt):
            await journal.heads()


def test_a_file_that_found_no_room_is_not_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            create_private(tmp_path / "journal.key", b"half")
    create_private(tmp_path / "journal.key", b"whole")
    assert (tmp_path / "journal.key").read_bytes() == b"whole"
