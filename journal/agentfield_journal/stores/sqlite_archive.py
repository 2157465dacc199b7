"""Runs that have left a journal file: moved to sealed files beside it, or expired. Still one journal.

An archive is an ordinary journal file that nobody writes. Knows nothing of the event loop.
"""

import re
import secrets
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from agentfield_journal.durable_files import sync_folder
from agentfield_journal.errors import JournalConflict, JournalCorrupt, JournalError
from agentfield_journal.stores.port import Page
from agentfield_journal.stores.sqlite_connection import Database
from agentfield_journal.stores.sqlite_file import SqliteFile

_COPY_RECORDS = 1_000
_NAME_MAX_BYTES = 255  # of a file; a file system refuses even to look for a longer one
_SUFFIX = ".archive.db"
_OPEN_MAX = 16
_EMPTY_BYTES = 4_096  # one page: SQLite's header, and no table yet


class ArchiveStore(Protocol):
    """What is asked of the store in an archive file."""

    @property
    def file(self) -> SqliteFile: ...
    def page(self, run_id: str, after: int, limit: int) -> Page: ...
    def ends(self, run_id: str) -> Page: ...
    def run_ids(self) -> list[str]: ...
    def adopt(self, run_id: str, epoch: int, pages: Callable[[int], Page]) -> None: ...
    def remove(self, db: Database, run: int) -> None: ...
    def close(self) -> None: ...


OpenStore = Callable[[Path, bool], ArchiveStore]


class Archives:
    """The `archives` table of a journal file and the files it names.

    Args:
        file: The journal file.
        open_store: Opens an archive, for reading only or to fill it.
    """

    def __init__(self, file: SqliteFile, open_store: OpenStore) -> None:
        self._file = file
        self._open_store = open_store
        self._open: dict[str, ArchiveStore] = {}  # the one used last at the end
        self._turn = threading.Lock()  # none is closed while another thread looks into it

    @contextmanager
    def holding(self, run_id: str) -> Generator[ArchiveStore | None]:
        """The archive with `run_id`, for a short look; None when the run is here, expired or unknown."""
        name = self._file_of(run_id)
        if name is None:
            yield None
        else:
            with self._reading(name) as archive:
                yield archive

    def _file_of(self, run_id: str) -> str | None:
        with self._file.reading() as db:
            found = db.execute(
                "SELECT archives.file FROM runs JOIN archives USING (run) WHERE run_id = ?", (run_id,)
            ).fetchone()
        if found is None or found[0] is None:
            return None
        name = str(found[0])
        if not self._path_of(name).exists():
            raise JournalCorrupt(f"run {run_id}: its archive {name} is missing", run_id=run_id, seq=1)
        return name

    @contextmanager
    def _reading(self, name: str) -> Generator[ArchiveStore]:
        with self._turn:
            archive = self._open.pop(name, None) or self._open_store(self._path_of(name), True)
            self._open[name] = archive
            if len(self._open) > _OPEN_MAX:
                self._close(next(iter(self._open)))
            yield archive

    def _close(self, name: str) -> None:
        if (archive := self._open.pop(name, None)) is not None:
            archive.close()

    def _path_of(self, name: object) -> Path:
        """An archive beside this file, by a name that may be damaged."""
        if isinstance(name, str) and name.endswith(_SUFFIX) and not set(name) & set("/\\\0"):
            if len(name.encode(errors="replace")) <= _NAME_MAX_BYTES:
                return self._file.path.with_name(name)
        raise JournalCorrupt("the journal names an archive that cannot be one", run_id="", seq=0)

    def require_here(self, db: Database, run_id: str) -> None:
        """Refuse to continue a run that has left the file."""
        found = db.execute(
            "SELECT archives.file FROM runs JOIN archives USING (run) WHERE run_id = ?", (run_id,)
        ).fetchone()
        if found is not None:
            state = "expired" if found[0] is None else "archived"
            raise JournalConflict(f"run {run_id} is {state} and cannot be continued; use another run id")

    def copy(self, source: ArchiveStore, run_ids: Sequence[str]) -> tuple[Path, list[str]] | None:
        """Copy runs to a new archive file; None when there is nothing to copy.

        They have left only after `leave`: after a crash they are in both places, never in none.
        """
        moving = [run_id for run_id in run_ids if source.ends(run_id).rows and self._file_of(run_id) is None]
        if not moving:
            return None
        path = self._file.path.with_name(f"{self._file.path.stem}-{secrets.token_hex(8)}{_SUFFIX}")
        archive = self._open_store(path, False)
        try:
            for run_id in moving:
                archive.adopt(run_id, self._epoch(run_id), partial(source.page, run_id, limit=_COPY_RECORDS))
            archive.file.seal()
        finally:
            archive.close()
        return path, moving

    def remove_orphans(self, source: ArchiveStore) -> list[Path]:
        """Delete archives that a crash left before any run had moved there; return which.

        One that holds a record which is not here as well is kept, whatever the reason.
        """
        with self._file.reading() as db:
            named = {str(name) for (name,) in db.execute("SELECT file FROM archives").fetchall()}
        ours = re.compile(re.escape(self._file.path.stem) + rf"-[0-9a-f]{{16}}{re.escape(_SUFFIX)}")
        orphans = [
            path
            for path in self._file.path.parent.glob(f"*{_SUFFIX}")
            if ours.fullmatch(path.name) and path.name not in named and self._is_copy(source, path)
        ]
        for path in orphans:
            for leftover in ("-wal", "-shm", ".lock", ""):  # the file last: without it nothing is found again
                path.with_name(path.name + leftover).unlink(missing_ok=True)
        if orphans:
            sync_folder(self._file.path.parent)
        return orphans

    def _is_copy(self, source: ArchiveStore, path: Path) -> bool:
        if path.stat().st_size <= _EMPTY_BYTES and not path.with_name(path.name + "-wal").exists():
            return True
        try:
            archive = self._open_store(path, True)
        except JournalError:
            return False
        try:
            for run_id in archive.run_ids():
                seq, body, digest = archive.ends(run_id).rows[-1]
                if source.page(run_id, seq - 1, 1).rows != [(seq, body, digest)]:
                    return False
        except JournalError:
            return False
        finally:
            archive.close()
        return True

    def clear(self, run_id: str) -> None:
        """Delete a run from every archive that holds it.

        Besides its own there may be one with a copy: a crash came, or a record, before it could move there.
        """
        self._file_of(run_id)  # raises if its own is missing
        for name in self.names():
            if self._path_of(name).exists() and self._holds(name, run_id):
                self._delete(name, run_id)

    def _holds(self, name: str, run_id: str) -> bool:
        with self._reading(name) as archive:
            return bool(archive.ends(run_id).rows)

    def names(self) -> list[str]:
        """Files beside this one that hold runs of it."""
        with self._file.reading() as db:
            found = db.execute("SELECT DISTINCT file FROM archives WHERE file IS NOT NULL").fetchall()
        return [str(name) for (name,) in found]

    def _delete(self, name: str, run_id: str) -> None:
        with self._turn:
            self._close(name)
        archive = self._open_store(self._path_of(name), False)
        try:
            with archive.file.transaction() as db:
                found = db.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,)).fetchone()
                if found is not None:
                    archive.remove(db, cast(int, found[0]))
            archive.file.seal()
        finally:
            archive.close()

    def leave(self, source: ArchiveStore, run_id: str, file: str | None) -> None:
        """Delete a run here, in one transaction with the note where it went; `file` None: nowhere."""
        ends = source.ends(run_id)
        with self._file.transaction() as db:
            found = db.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if found is None:
                return
            run = cast(int, found[0])
            if ends.rows:
                seq, _, digest = ends.rows[-1]
                db.execute(
                    "INSERT INTO archives (run, file, seq, hash) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (run) DO UPDATE SET file = excluded.file",
                    (run, file, seq, digest),
                )
            elif file is None:
                db.execute("UPDATE archives SET file = NULL WHERE run = ?", (run,))
            source.remove(db, run)

    def _epoch(self, run_id: str) -> int:
        with self._file.reading() as db:
            found = db.execute("SELECT epoch FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return cast(int, found[0]) if found else 0

    def problems(self) -> list[str]:
        """Archives that are missing, damaged or do not end where they should."""
        with self._file.reading() as db:
            found = db.execute(
                "SELECT run_id, file, seq, hash FROM archives JOIN runs USING (run) WHERE file IS NOT NULL"
            ).fetchall()
        problems: list[str] = []
        for run_id, name, seq, digest in cast(list[tuple[str, str, int, bytes]], found):
            try:
                with self._reading(name) as archive:
                    rows = archive.ends(run_id).rows
                if not rows or (rows[-1][0], rows[-1][2]) != (seq, digest):
                    problems.append(f"run {run_id}: the archive {name} does not end at record {seq}")
            except JournalError as error:
                problems.append(f"run {run_id}: {error}")
        for name in sorted({str(name) for _, name, _, _ in found}):
            problems += self._integrity_problems(name)
        return problems

    def _integrity_problems(self, name: str) -> list[str]:
        """In a connection of its own, for it may take minutes."""
        try:
            archive = self._open_store(self._path_of(name), True)
        except JournalError:
            return []  # each of its runs has been named
        try:
            return archive.file.integrity_problems()
        finally:
            archive.close()

    def close(self) -> None:
        for name in list(self._open):
            self._close(name)
