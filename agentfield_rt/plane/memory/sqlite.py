"""Sealed memory in an SQLite file of its own. Knows nothing of the event loop or of keys."""

from pathlib import Path
from typing import cast

from agentfield_journal.stores.sqlite_connection import Database
from agentfield_journal.stores.sqlite_file import FileKind, SqliteFile
from agentfield_rt.plane.memory.writes import Drawer, Folded, Row, RowKey, Write, fold

_SCHEMA = """
CREATE TABLE drawers (
    drawer INTEGER PRIMARY KEY, tag BLOB NOT NULL UNIQUE, key_ref TEXT NOT NULL,
    entries INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, drawer INTEGER NOT NULL, name BLOB NOT NULL, sealed BLOB NOT NULL,
    created_at_ns INTEGER NOT NULL, updated_at_ns INTEGER NOT NULL, UNIQUE (drawer, name)
) STRICT;
"""
MEMORY_FILE = FileKind(application_id=0x41464D31, format_version=1, schema=_SCHEMA)  # "AFM1"

_DRAWER = "SELECT drawer, key_ref, entries, bytes FROM drawers WHERE tag = ?"
_COLUMNS = "SELECT name, sealed, created_at_ns, updated_at_ns FROM entries"
_STORE = (
    "INSERT INTO entries (drawer, name, sealed, created_at_ns, updated_at_ns) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (drawer, name)"
    " DO UPDATE SET sealed = excluded.sealed, updated_at_ns = excluded.updated_at_ns"
)
_OF_TAG = "WHERE drawer = (SELECT drawer FROM drawers WHERE tag = ?)"


class SqliteMemory:
    """A memory file. See `SqliteFile` for what opening raises."""

    blocking = True

    def __init__(self, path: Path) -> None:
        self.file = SqliteFile(path, MEMORY_FILE)

    def commit(self, group: list[Write], /) -> list[Write]:
        with self.file.transaction() as db:
            drawers = _drawers(db, {write.tag for write in group})
            rows = {
                (write.tag, write.name): row
                for write in group
                if (drawer := drawers.get(write.tag)) is not None
                and (row := _row(db, drawer.number, write.name)) is not None
            }
            _store(db, drawers, fold(group, drawers, rows))
        return []

    def after_acknowledgement(self, *, waiting: bool) -> None:
        self.file.checkpoint_when_due(idle=not waiting)

    def tend(self) -> None:
        self.file.checkpoint_when_due(idle=True)

    def open_drawer(self, tag: bytes, key_ref: str) -> str:
        with self.file.transaction() as db:
            db.execute(
                "INSERT INTO drawers (tag, key_ref, entries, bytes) VALUES (?, ?, 0, 0)"
                " ON CONFLICT (tag) DO NOTHING",
                (tag, key_ref),
            )
            return str(db.execute("SELECT key_ref FROM drawers WHERE tag = ?", (tag,)).get)

    def drop(self, tag: bytes, key_ref: str) -> None:
        with self.file.transaction() as db:
            db.execute(
                "DELETE FROM entries WHERE drawer ="
                " (SELECT drawer FROM drawers WHERE tag = ? AND key_ref = ?)",
                (tag, key_ref),
            )
            db.execute("DELETE FROM drawers WHERE tag = ? AND key_ref = ?", (tag, key_ref))

    def key_ref(self, tag: bytes) -> str | None:
        with self.file.reading() as db:
            found = db.execute("SELECT key_ref FROM drawers WHERE tag = ?", (tag,)).fetchone()
        return None if found is None else str(found[0])

    def load(self, tag: bytes, name: bytes) -> Row | None:
        with self.file.reading() as db:
            found = db.execute(f"{_COLUMNS} {_OF_TAG} AND name = ?", (tag, name)).fetchone()
        return None if found is None else _as_row(found)

    def page(self, tag: bytes, *, after: bytes, limit: int) -> list[Row]:
        wanted = f"{_COLUMNS} {_OF_TAG} AND name > ? ORDER BY name LIMIT ?"
        with self.file.reading() as db:
            return [_as_row(found) for found in db.execute(wanted, (tag, after, limit)).fetchall()]

    def drawers(self, *, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        wanted = "SELECT tag, key_ref FROM drawers WHERE tag > ? ORDER BY tag LIMIT ?"
        with self.file.reading() as db:
            return cast(list[tuple[bytes, str]], db.execute(wanted, (after, limit)).fetchall())

    def close(self) -> None:
        self.file.close()


def _drawers(db: Database, tags: set[bytes]) -> dict[bytes, Drawer]:
    found = ((tag, db.execute(_DRAWER, (tag,)).fetchone()) for tag in tags)
    return {tag: Drawer(*cast(tuple[int, str, int, int], row)) for tag, row in found if row is not None}


def _row(db: Database, drawer: int, name: bytes) -> Row | None:
    found = db.execute(f"{_COLUMNS} WHERE drawer = ? AND name = ?", (drawer, name)).fetchone()
    return None if found is None else _as_row(found)


def _as_row(found: tuple[object, ...]) -> Row:
    return Row(*cast(tuple[bytes, bytes, int, int], found))


def _store(db: Database, drawers: dict[bytes, Drawer], folded: Folded) -> None:
    def numbered(key: RowKey) -> tuple[int, bytes]:
        return drawers[key[0]].number, key[1]

    db.executemany(
        _STORE,
        [
            (*numbered(key), row.sealed, row.created_at_ns, row.updated_at_ns)
            for key, row in folded.stored.items()
        ],
    )
    db.executemany(
        "DELETE FROM entries WHERE drawer = ? AND name = ?", [numbered(key) for key in folded.deleted]
    )
    db.executemany(
        "UPDATE drawers SET entries = ?, bytes = ? WHERE drawer = ?",
        [(drawers[tag].rows, drawers[tag].bytes, drawers[tag].number) for tag in folded.drawers],
    )
