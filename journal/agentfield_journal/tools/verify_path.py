"""Verify whatever there is at a path: a journal file, an exported run, or a folder of both."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from agentfield_journal.content.sqlite import CONTENT_FILE
from agentfield_journal.errors import JournalError
from agentfield_journal.evidence.notes import VerifierKey
from agentfield_journal.opening import open_journal
from agentfield_journal.tools.exchange import verify_export
from agentfield_journal.verification import Finding, Report, verify

_SQLITE_MAGIC = b"SQLite format 3\x00"
_ARCHIVE_SUFFIX = ".archive.db"
_SQLITE_HEADER_BYTES = 100
_APPLICATION_ID = slice(68, 72)
_CONTENT_ID = CONTENT_FILE.application_id.to_bytes(4, "big")
_EXPORT_START = b'{"format":"agentfield-run/'


async def verify_path(
    path: Path,
    *,
    trusted: Sequence[VerifierKey] = (),
    earlier: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> dict[Path, Report]:
    """Verify each journal and exported run; archives are verified with the journal they belong to.

    Args:
        path: A file or a folder (searched to the bottom). Other files in a folder are passed over.
        trusted: Keys whose checkpoints count.
        earlier: Checkpoints from a second place, for journal files.
        progress: Called with the number of records checked in the current file.
    """
    reports: dict[Path, Report] = {}
    whole = path.absolute()  # noqa: ASYNC240 - asks the process, not the disk
    for file, start in await asyncio.to_thread(_files_at, path):
        if start.startswith(_EXPORT_START):
            reports[file] = verify_export(file, trusted=trusted)
        elif start == _SQLITE_MAGIC and (file == whole or not file.name.endswith(_ARCHIVE_SUFFIX)):
            reports[file] = await _verify_file(file, trusted, earlier, progress)
        elif file == whole:
            problem = "neither a journal nor an exported run"
            reports[file] = _failed(problem)
    return reports


def _files_at(path: Path) -> list[tuple[Path, bytes]]:
    """The files at `path`, absolute, with what they begin with."""
    found = sorted(path.absolute().rglob("*")) if path.is_dir() else [path.absolute()]
    return [(file, _beginning(file)) for file in found]


def _beginning(file: Path) -> bytes:
    if not file.is_file():
        return b""
    with file.open("rb") as opened:
        header = opened.read(_SQLITE_HEADER_BYTES)
    if header.startswith(_SQLITE_MAGIC):
        return b"" if header[_APPLICATION_ID] == _CONTENT_ID else _SQLITE_MAGIC
    return header[: len(_EXPORT_START)]


async def _verify_file(
    file: Path,
    trusted: Sequence[VerifierKey],
    earlier: Sequence[str],
    progress: Callable[[int], None] | None,
) -> Report:
    try:
        async with open_journal(f"sqlite:///{file}", read_only=True) as journal:
            return await verify(journal, trusted=trusted, earlier=earlier, progress=progress)
    except JournalError as error:
        return _failed(str(error))


def _failed(problem: str) -> Report:
    return Report(runs=0, records=0, checkpoints=0, findings=[Finding(run_id="", seq=0, problem=problem)])
