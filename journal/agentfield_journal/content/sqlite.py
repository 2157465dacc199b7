"""Sealed content in an SQLite file of its own, with the wrapped keys. Knows nothing of the event loop."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from agentfield_journal.content.port import Content, Erasure
from agentfield_journal.content.seal import KEY_BYTES, MasterKey, Sealer, new_key, unseal
from agentfield_journal.durable_files import create_private
from agentfield_journal.envelope import Retention
from agentfield_journal.errors import ContentGone, JournalConflict
from agentfield_journal.stores.sqlite_connection import Database
from agentfield_journal.stores.sqlite_file import FileKind, SqliteFile

_SCHEMA = """
CREATE TABLE subjects (subject INTEGER PRIMARY KEY, tag BLOB NOT NULL, wrapped BLOB) STRICT;
CREATE UNIQUE INDEX live_subjects ON subjects (tag) WHERE wrapped IS NOT NULL;
CREATE TABLE contents (
    id INTEGER PRIMARY KEY, ref TEXT NOT NULL UNIQUE, subject INTEGER NOT NULL, retention TEXT NOT NULL,
    at_ns INTEGER NOT NULL, sealed BLOB NOT NULL
) STRICT;
CREATE INDEX contents_by_subject ON contents (subject);
CREATE INDEX contents_by_age ON contents (retention, at_ns);
"""
CONTENT_FILE = FileKind(application_id=0x41464331, format_version=1, schema=_SCHEMA)  # "AFC1"

_MARKED = "SELECT subject, tag FROM subjects WHERE wrapped IS NULL"
_FORGET_CONTENTS = (
    "DELETE FROM contents WHERE sealed = x'' AND subject IN"
    " (SELECT subject FROM subjects WHERE tag = ? AND wrapped IS NULL)"
)
_FORGET_SUBJECT = (
    "DELETE FROM subjects WHERE tag = ? AND wrapped IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM contents WHERE contents.subject = subjects.subject)"
)
_INSERT = "INSERT INTO contents (ref, subject, retention, at_ns, sealed) VALUES (?, ?, ?, ?, ?)"
_FIND = "SELECT tag, wrapped, retention, sealed FROM contents JOIN subjects USING (subject) WHERE ref = ?"


class SqliteContent:
    """A content file. See `SqliteFile` for what opening raises."""

    blocking = True

    def __init__(
        self, path: Path, master: MasterKey, *, read_only: bool = False, vfs: str | None = None
    ) -> None:
        self.file = SqliteFile(path, CONTENT_FILE, read_only=read_only, vfs=vfs)
        self._master = master
        self._log_to_shred = False

    def commit(self, group: list[Content], /) -> list[Content]:
        subjects: dict[str, tuple[int, Sealer]] = {}
        rows: list[tuple[str, int, str, int, bytes]] = []
        with self.file.transaction() as db:
            for content in group:
                known = subjects.get(content.subject)
                if known is None:
                    number, key = self._subject(db, content.subject)
                    known = subjects[content.subject] = number, Sealer(key)
                number, sealer = known
                sealed = sealer.seal(content.data, _context(content.ref, content.retention))
                rows.append((content.ref, number, content.retention.value, content.at_ns, sealed))
            db.executemany(_INSERT, rows)
        return []

    def after_acknowledgement(self, *, waiting: bool) -> None:
        self.file.checkpoint_when_due(idle=not waiting)

    def _subject(self, db: Database, name: str) -> tuple[int, bytes]:
        tag = self._master.tag(name)
        found = db.execute(
            "SELECT subject, wrapped FROM subjects WHERE tag = ? AND wrapped IS NOT NULL", (tag,)
        ).fetchone()
        if found is not None:
            subject, wrapped = cast(tuple[int, bytes], found)
            return subject, self._master.unwrap(wrapped, tag)
        key = new_key()
        db.execute("INSERT INTO subjects (tag, wrapped) VALUES (?, ?)", (tag, self._master.wrap(key, tag)))
        return db.last_insert_rowid(), key

    def tend(self) -> None:
        self.file.checkpoint_when_due(idle=True)
        if self._log_to_shred:
            with suppress(JournalConflict):  # somebody reads: later, then
                self._shred_log()

    def tag(self, subject: str) -> str:
        return self._master.tag(subject).hex()

    def mark_for_erasure(self, tag: str) -> Erasure:
        with self.file.transaction() as db:
            # A subject without a key is one whose bytes are still to be deleted.
            name = bytes.fromhex(tag)
            marked = db.execute("SELECT subject FROM subjects WHERE tag = ?", (name,)).fetchall()
            db.execute("UPDATE subjects SET wrapped = NULL WHERE tag = ?", (name,))
            refs = [ref for (subject_number,) in marked for ref in _refs_of(db, cast(int, subject_number))]
        return Erasure(tag=tag, refs=refs)

    def finish_erasures(self) -> list[Erasure]:
        refs: dict[str, list[str]] = {}
        with self.file.transaction() as db:
            for subject, tag in cast(list[tuple[int, bytes]], db.execute(_MARKED).fetchall()):
                refs.setdefault(tag.hex(), []).extend(_refs_of(db, subject))
                db.execute("UPDATE contents SET sealed = x'' WHERE subject = ?", (subject,))
        if refs:
            self._shred_log()
        return [Erasure(tag=tag, refs=gone) for tag, gone in refs.items()]

    def forget_erased(self, tag: str) -> None:
        # The names go last: until the log holds nothing of it, an erasure is found unfinished.
        with self.file.transaction() as db:
            db.execute(_FORGET_CONTENTS, (bytes.fromhex(tag),))
            db.execute(_FORGET_SUBJECT, (bytes.fromhex(tag),))

    def _shred_log(self) -> None:
        """Empty the log, which still holds pages with wrapped keys and sealed bytes."""
        self._log_to_shred = True
        self.file.empty_log()
        self._log_to_shred = False

    def delete_expired(self, before_ns: Mapping[Retention, int]) -> list[str]:
        refs: list[str] = []
        with self.file.transaction() as db:
            for retention, before in before_ns.items():
                condition = (retention.value, before)
                found = db.execute("SELECT ref FROM contents WHERE retention = ? AND at_ns < ?", condition)
                refs += [str(ref) for (ref,) in found.fetchall()]
                db.execute("DELETE FROM contents WHERE retention = ? AND at_ns < ?", condition)
        if refs:
            with suppress(JournalConflict):  # somebody reads: `tend` tries again
                self._shred_log()
        return refs

    def load(self, ref: str) -> bytes:
        with self.file.reading() as db:
            found = db.execute(_FIND, (ref,)).fetchone()
        if found is None:
            raise ContentGone(f"{ref} is not in this store: erased, expired or never put", reason="unknown")
        tag, wrapped, retention, sealed = cast(tuple[bytes, bytes | None, str, bytes], found)
        if wrapped is None:
            raise ContentGone(f"{ref} was erased", reason="erased")
        return unseal(self._master.unwrap(wrapped, tag), sealed, _context(ref, retention))

    def close(self) -> None:
        self.file.close()


def _refs_of(db: Database, subject: int) -> list[str]:
    found = db.execute("SELECT ref FROM contents WHERE subject = ? ORDER BY id", (subject,)).fetchall()
    return [str(ref) for (ref,) in found]


def _context(ref: str, retention: str) -> bytes:
    return f"{ref}\n{retention}".encode()


def read_or_make_key(path: Path, *, store: Path) -> MasterKey:
    """The master key in `path`, made before `store` is; only its owner may read the file.

    Raises:
        JournalConflict: others can read the file, it is not a key, or it was lost.
    """
    if store.exists() and not path.exists():
        raise JournalConflict(
            f"{path} is gone, and nothing in {store} can be read without it; "
            f"put the key back, or move {store.name} away to begin anew"
        )
    secret = new_key()
    try:
        create_private(path, secret)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise JournalConflict(f"{path} can be read by others than its owner; chmod 600 it") from None
        secret = path.read_bytes()
        if len(secret) != KEY_BYTES:
            raise JournalConflict(f"{path} is not a master key of {KEY_BYTES} bytes") from None
        return MasterKey(secret)
    return MasterKey(secret)
