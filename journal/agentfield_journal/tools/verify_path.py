"""Verify whatever there is at a path: a journal file, an exported run, or a folder of both."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from pathlib import Path

from agentfield_journal.content.sqlite import CONTENT_FILE
from agentfield_journal.engine import StoreJournal
from agentfield_journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from agentfield_journal.evidence.notes import VerifierKey
from agentfield_journal.opening import open_journal
from agentfield_journal.stores.sqlite import JOURNAL_FILE, SqliteStore
from agentfield_journal.tools.exchange import verify_export
from agentfield_journal.verification import Finding, Report, verify

_SQLITE_MAGIC = b"SQLite format 3\x00"
_SQLITE_HEADER_BYTES = 100
_APPLICATION_ID = slice(68, 72)
_CONTENT_ID = CONTENT_FILE.application_id.to_bytes(4, "big")
_JOURNAL_ID = JOURNAL_FILE.application_id.to_bytes(4, "big")
_OUR_IDS = b"AF"  # so begin the marks of all that a server keeps beside its journal
_EXPORT_START = b'{"format":"agentfield-run/'
_JOURNAL_SUFFIX = ".db"
_ARCHIVE_SUFFIX = ".archive.db"
_LOGS = ("-wal", "-shm", ".reserve")  # nothing but a database has them beside it
_LOCK = ".lock"


class _Kind(Enum):
    """What a file is by its first bytes; where they say nothing, by its name and what lies beside it."""

    JOURNAL = auto()
    ARCHIVE = auto()
    EXPORT = auto()
    DAMAGED = auto()
    CONTENT = auto()
    BESIDE = auto()
    OTHER = auto()


async def verify_path(
    path: Path,
    *,
    trusted: Sequence[VerifierKey] = (),
    earlier: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    passed_over: Callable[[Path, str], None] | None = None,
) -> dict[Path, Report]:
    """Verify each journal and exported run; archives are verified with the journal they belong to.

    Args:
        path: A file or a folder (searched to the bottom). Other files in a folder are passed over; one that
            should be a journal by its name, or by the log beside it, is damaged.
        trusted: Keys whose checkpoints count.
        earlier: Checkpoints from a second place.
        progress: Called with the number of records checked in the current file.
        passed_over: Called with each file of a folder that was not verified, and why.

    Raises:
        JournalUnavailable: a journal could not be read, which says nothing about what is in it.
    """
    whole = path.absolute()  # noqa: ASYNC240 - asks the process, not the disk
    files = await asyncio.to_thread(_files_at, whole)
    check = partial(verify, trusted=trusted, earlier=earlier, progress=progress)
    reports: dict[Path, Report] = {}
    named: set[str] = set()
    for file, kind in files:
        if kind is _Kind.EXPORT:
            reports[file] = await asyncio.to_thread(verify_export, file, trusted=trusted, earlier=earlier)
        elif kind is _Kind.JOURNAL or (kind is _Kind.ARCHIVE and file == whole):
            reports[file] = await _verify_file(file, check, named)
        elif kind is _Kind.DAMAGED:
            reports[file] = _failed(f"{file} does not begin as a journal does: it is damaged, or is none")
        elif file == whole:
            reports[file] = _failed("neither a journal nor an exported run")
    if passed_over is not None:
        for file, kind in files:
            if file not in reports and (why := _why_passed_over(file, kind, named)) is not None:
                passed_over(file, why)
    return reports


def _files_at(path: Path) -> list[tuple[Path, _Kind]]:
    """The files at `path`, which is absolute, and what they are."""
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(file, _kind_of(file)) for file in found if file.is_file()]


def _kind_of(file: Path) -> _Kind:
    with file.open("rb") as opened:
        header = opened.read(_SQLITE_HEADER_BYTES)
    if header.startswith(_SQLITE_MAGIC):
        mark = header[_APPLICATION_ID]
        if mark.startswith(_OUR_IDS) and mark != _JOURNAL_ID:
            return _Kind.CONTENT if mark == _CONTENT_ID else _Kind.OTHER
        return _Kind.ARCHIVE if file.name.endswith(_ARCHIVE_SUFFIX) else _Kind.JOURNAL
    if header.replace(b" ", b"").startswith(_EXPORT_START):
        return _Kind.EXPORT
    if file.suffix == _JOURNAL_SUFFIX or any(file.with_name(file.name + log).exists() for log in _LOGS):
        return _Kind.DAMAGED
    for suffix in (*_LOGS, _LOCK):
        owner = file.name.removesuffix(suffix)
        if owner not in ("", file.name) and file.with_name(owner).is_file():
            return _Kind.BESIDE
    return _Kind.OTHER


async def _verify_file(
    file: Path, check: Callable[[StoreJournal], Awaitable[Report]], named: set[str]
) -> Report:
    """Verify a journal file, and add the archives that it names to `named`."""
    try:
        async with open_journal(f"sqlite:///{file}", read_only=True) as journal:
            report = await check(journal)
            if isinstance(store := journal.store, SqliteStore):
                with suppress(JournalCorrupt):  # which the report says
                    names = await journal.on_reader(store.archive_names)
                    named.update(os.path.join(store.file.path.parent, name) for name in names)
            return report
    except JournalUnavailable:
        raise
    except JournalError as error:
        return _failed(str(error))


def _why_passed_over(file: Path, kind: _Kind, named: Collection[str]) -> str | None:
    """None for what was looked at with the file that it belongs to."""
    if kind is _Kind.BESIDE:
        return None
    if kind is _Kind.ARCHIVE:
        return None if os.path.realpath(file) in named else "an archive that no journal here names"
    return "a content store" if kind is _Kind.CONTENT else "neither a journal nor an exported run"


def _failed(problem: str) -> Report:
    return Report(runs=0, records=0, checkpoints=0, findings=[Finding(run_id="", seq=0, problem=problem)])
