"""One SQLite file with one writer: lock, settings, generation, checkpoints, typed errors.

Knows no table but the one that holds the file's identity.
"""

import os
import secrets
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import msgspec

from agentfield_journal.errors import (
    JournalConflict,
    JournalCorrupt,
    JournalFull,
    JournalUnavailable,
    UnknownVersion,
)
from agentfield_journal.stores.lock import FileLock
from agentfield_journal.stores.reserve import append_zeros
from agentfield_journal.stores.sqlite_connection import Database, connect, connect_unchanging
from agentfield_journal.stores.sqlite_schema import schema_problems

SQLITE_VERSION_MIN = (3, 51, 3)  # older ones can corrupt a WAL file that two connections reset at once

_IDENTITY = "CREATE TABLE file (origin TEXT NOT NULL, generation INTEGER NOT NULL) STRICT;"
_OPEN_WRITER = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
# The log is moved into the main file when it has this many pages: early when idle, and even when busy
# before it outgrows the room made for it, for a sync of a file that grows costs half as much again.
_CHECKPOINT_PAGES = 300
_CHECKPOINT_PAGES_MAX = 1_000
_LOG_BYTES = (_CHECKPOINT_PAGES_MAX + 50) * (4_096 + 24)
_BUSY_MS = 2_000
_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",
    "checkpoint_fullfsync = ON",
    "wal_autocheckpoint = 0",
    "cache_size = -16384",
    "secure_delete = ON",
    "trusted_schema = OFF",
)


class FileKind(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is: its mark and format version in the header, and the tables of a new one."""

    application_id: int
    format_version: int
    schema: str


class SqliteFile:
    """Writes through one connection, reads through another for each thread that reads.

    Args:
        path: The file, or a link to it; its folder is created. `<path>.lock`, `-wal` and `-shm` live
            beside it.
        kind: What the file must be.
        read_only: Take no lock and write nothing.
        vfs: A registered SQLite file layer, for tests that watch or break the file. It need not know
            shared memory: one connection then serves both purposes, and no other process can read.

    Raises:
        JournalConflict: another process writes to the file, or it is a database of something else.
        JournalUnavailable: it does not exist (read only) or cannot be opened.
        UnknownVersion: a newer version of this package wrote it.
    """

    def __init__(
        self, path: Path, kind: FileKind, *, read_only: bool = False, vfs: str | None = None
    ) -> None:
        _require_sqlite()
        # By its one true name: through a link the lock, the log and the archives would be others.
        path = self.path = Path(os.path.realpath(path))
        self.read_only = read_only
        self._kind = kind
        self._vfs = vfs
        self._wal_pages = 0
        self._generation = 0
        self._sound = True
        self._sealed = False
        self._lock: FileLock | None = None
        self._readers: dict[int, Database] = {}
        self._writer: Database | None = None
        if read_only:
            if not path.exists():
                raise JournalUnavailable(f"{path} does not exist")
            with self.reading():
                return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path)
        try:
            with self._typed_errors():
                self._open_writer()
        except BaseException:
            self._sound = False
            self.close()
            raise

    def _open_writer(self) -> None:
        db = self._writer = connect(self.path, _OPEN_WRITER, self._vfs)
        db.set_busy_timeout(_BUSY_MS)  # emptying the log waits for those who read, of whom each is soon done
        # Without this the last connection to close would move the log after a failed sync.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if self._vfs is not None:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._readers[0] = db
        fresh = db.execute("SELECT count(*) FROM sqlite_schema").get == 0
        if not fresh:
            self._check_kind(db)
        for setting in _SETTINGS:
            db.execute(f"PRAGMA {setting}")
        if fresh:
            self._create(db)
        # A log left by a crash may sit in the page cache without being on disk (its sync may have
        # failed): write it to the main file again and sync that before anything builds on it.
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE file SET generation = generation + 1")
        self._generation = whole_number(db.execute("SELECT generation FROM file").get)
        db.execute("COMMIT")
        db.set_wal_hook(self._note_wal_pages)

    def _create(self, db: Database) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute(_IDENTITY + self._kind.schema)
        db.execute("INSERT INTO file (origin, generation) VALUES (?, 0)", (secrets.token_hex(16),))
        db.execute(f"PRAGMA application_id = {self._kind.application_id}")
        db.execute(f"PRAGMA user_version = {self._kind.format_version}")
        db.execute("COMMIT")

    def _check_kind(self, db: Database) -> None:
        if db.execute("PRAGMA application_id").get != self._kind.application_id:
            raise JournalConflict(f"{self.path} is a database of something else; choose another path")
        version = whole_number(db.execute("PRAGMA user_version").get)
        if version > self._kind.format_version:
            raise UnknownVersion(
                f"{self.path} has format {version}, this package reads up to {self._kind.format_version};"
                " upgrade agentfield-rt"
            )

    def _note_wal_pages(self, _db: Database, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    @contextmanager
    def transaction(self) -> Generator[Database]:
        """The writing connection inside a transaction that is synced when the block ends.

        Raises:
            JournalConflict: another process wrote to the file although this one holds its lock.
        """
        if self._writer is None:
            raise JournalUnavailable(f"{self.path} is open for reading only")
        db = self._writer
        with self._typed_errors():
            db.execute("BEGIN IMMEDIATE")
            sound, self._sound = self._sound, False
            try:
                if db.execute("SELECT generation FROM file").get != self._generation:
                    sound = False
                    raise JournalConflict(
                        f"another process wrote to {self.path}; reopen it and read before going on"
                    )
                yield db
                db.execute("COMMIT")
            except BaseException as error:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                # What was refused is undone, and the file as sound as before. Of anything else who knows.
                self._sound = sound and isinstance(error, JournalConflict)
                raise
            self._sound = sound

    def continue_after_full(self) -> None:
        """A transaction that found no room left nothing behind, so it may be tried again."""
        self._sound = True

    @contextmanager
    def reading(self) -> Generator[Database]:
        """The calling thread's reading connection, opened at first use."""
        with self._typed_errors():
            thread = threading.get_ident() if self._vfs is None else 0
            if thread not in self._readers:
                self._readers[thread] = self._open_reader()
            yield self._readers[thread]

    def _open_reader(self) -> Database:
        db = connect(self.path, apsw.SQLITE_OPEN_READONLY, self._vfs)
        try:
            db.execute("SELECT count(*) FROM sqlite_schema")
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            # Nobody can write here, not even the shared memory of readers: a medium for evidence.
            log = self.path.with_name(self.path.name + "-wal")
            if self._vfs is not None or (log.exists() and log.stat().st_size):
                raise
            db.close()
            db = connect_unchanging(self.path)
        db.set_busy_timeout(_BUSY_MS)
        db.execute("PRAGMA trusted_schema = OFF")
        self._check_kind(db)
        return db

    def checkpoint_when_due(self, *, idle: bool) -> None:
        """Move the log into the main file when it has grown; a busy file waits longer for it."""
        due = _CHECKPOINT_PAGES if idle else _CHECKPOINT_PAGES_MAX
        if self._wal_pages >= due:
            with suppress(JournalFull):  # the log then goes on growing, into room that was kept back
                self.move_log()

    def make_room_for_log(self) -> None:
        """Lengthen the log to what it will need; readers stop at the first frame that is not SQLite's."""
        log = self.path.with_name(self.path.name + "-wal")
        with suppress(OSError):  # then it grows as it goes, for as long as there is room
            append_zeros(log, _LOG_BYTES)

    def move_log(self) -> None:
        """Move the log into the main file; its space is written again."""
        if self._writer is not None:
            with self._typed_errors():
                self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._wal_pages = 0

    def empty_log(self) -> None:
        """Move the whole log into the main file and cut it to nothing."""
        if self._writer is not None:
            with self._typed_errors():
                self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._wal_pages = 0

    def seal(self) -> None:
        """Make this a single file that needs no log, readable for ever; nothing is written after."""
        if self._writer is not None:
            with self._typed_errors():
                for reader in self._readers.values():
                    if reader is not self._writer:
                        reader.close()
                self._readers.clear()
                self._writer.execute("PRAGMA journal_mode = DELETE")
            self._sealed = True

    def integrity_problems(self) -> list[str]:
        """What SQLite finds wrong with its pages and indexes, and what its schema should not have."""
        try:
            with self.reading() as db:
                found = [str(line) for (line,) in db.execute("PRAGMA integrity_check(20)").fetchall()]
                found += schema_problems(db, _IDENTITY + self._kind.schema)
        except JournalCorrupt as error:
            return [str(error)]
        return [f"{self.path}: {line}" for line in found if line != "ok"]

    def changes(self) -> int:
        """A number that differs after another process committed."""
        with self.reading() as db:
            return whole_number(db.execute("PRAGMA data_version").get)

    def close(self) -> None:
        """Close both connections, then give up the lock. Idempotent."""
        readers, writer = self._readers, self._writer
        self._readers, self._writer = {}, None
        try:
            with self._typed_errors():
                if writer is not None and self._sound and not self._sealed:
                    # So that the one file is the whole journal: to copy, to archive, to hand over.
                    with suppress(apsw.FullError):  # then the log stays beside it, as after a crash
                        writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                for reader in readers.values():
                    if reader is not writer:
                        reader.close()
                if writer is not None:
                    writer.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    @contextmanager
    def _typed_errors(self) -> Generator[None]:
        try:
            yield
        except apsw.FullError as error:
            raise JournalFull(f"no room for {self.path}; free some and reopen it") from error
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, UnicodeDecodeError) as error:
            raise JournalCorrupt(
                f"{self.path} is damaged below the level of records; verify it and restore a copy",
                run_id="",
                seq=0,
            ) from error
        except (apsw.BusyError, apsw.LockedError) as error:
            raise JournalConflict(f"another process writes to {self.path}; stop it and reopen") from error
        except apsw.Error as error:
            raise JournalUnavailable(
                f"{self.path} failed: {type(error).__name__}; reopen it and read before going on"
            ) from error


def whole_number(value: object) -> int:
    """`value` from a column that must hold an integer."""
    if not isinstance(value, int):
        raise JournalCorrupt("a file holds a value of the wrong type; verify it", run_id="", seq=0)
    return value


def _require_sqlite() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < SQLITE_VERSION_MIN:
        raise JournalUnavailable(f"SQLite {apsw.sqlite_lib_version()} is too old; install apsw >= 3.51.3")
