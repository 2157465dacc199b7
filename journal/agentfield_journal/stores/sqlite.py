"""Records of all runs in one SQLite file, one synced transaction per group. Tables: see FORMAT.md."""

from pathlib import Path
from typing import cast

from agentfield_journal.codec import genesis
from agentfield_journal.envelope import FORMAT_VERSION
from agentfield_journal.stores.port import Batch, Claim, Page, Row, StoredRow
from agentfield_journal.stores.sqlite_file import FileKind, SqliteFile

# Rows in order of commit with a narrow index: clustered by run, every run would dirty a page per group.
_SCHEMA = """
CREATE TABLE runs (run INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE records (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX records_by_run ON records (run, seq);
"""
JOURNAL_FILE = FileKind(application_id=0x41464A31, format_version=FORMAT_VERSION, schema=_SCHEMA)  # "AFJ1"


class SqliteStore:
    """A journal file. See `SqliteFile` for the arguments and what opening raises."""

    blocking = True

    def __init__(self, path: Path, *, read_only: bool = False, vfs: str | None = None) -> None:
        self.file = SqliteFile(path, JOURNAL_FILE, read_only=read_only, vfs=vfs)
        self._epochs: dict[str, int] = {}

    @property
    def shared(self) -> bool:
        return self.file.read_only

    def claim(self, run_id: str) -> Claim:
        with self.file.transaction() as db:
            db.execute(
                "INSERT INTO runs (run_id, epoch) VALUES (?, 1)"
                " ON CONFLICT (run_id) DO UPDATE SET epoch = epoch + 1",
                (run_id,),
            )
            found = db.execute("SELECT run, epoch FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            run, epoch = cast(tuple[int, int], found)
            last = db.execute(
                "SELECT seq, hash FROM records WHERE run = ? ORDER BY seq DESC LIMIT 1", (run,)
            ).fetchone()
        self._epochs[run_id] = epoch
        seq, digest = cast(tuple[int, bytes] | None, last) or (0, genesis(run_id))
        return Claim(run=run, epoch=epoch, seq=seq, hash=digest)

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        refused: list[Batch] = []
        rows: list[Row] = []
        for batch in batches:
            # The file's generation, checked in the transaction, proves that these epochs are the file's.
            if batch.epoch == self._epochs.get(batch.run_id):
                rows += batch.rows
            else:
                refused.append(batch)
        with self.file.transaction() as db:
            db.executemany("INSERT INTO records (run, seq, body, hash) VALUES (?, ?, ?, ?)", rows)
        self.file.checkpoint_when_due(idle=False)
        return refused

    def tend(self) -> None:
        self.file.checkpoint_when_due(idle=True)

    def page(self, run_id: str, after: int, limit: int) -> Page:
        with self.file.reading() as db:
            found = db.execute(
                "SELECT seq, body, hash FROM records WHERE run = (SELECT run FROM runs WHERE run_id = ?)"
                " AND seq >= ? ORDER BY seq LIMIT ?",
                (run_id, after, limit + 1),
            ).fetchall()
        rows = cast(list[StoredRow], found)
        if after > 0 and rows and rows[0][0] == after:
            return Page(rows[0][2], rows[1:])
        return Page(genesis(run_id), rows[:limit])

    def ends(self, run_id: str) -> Page:
        with self.file.reading() as db:
            found = db.execute(
                "SELECT seq, body, hash FROM records WHERE id IN ("
                " SELECT id FROM records JOIN runs USING (run) WHERE run_id = ?1 AND seq = 1 UNION ALL"
                " SELECT id FROM (SELECT id FROM records JOIN runs USING (run) WHERE run_id = ?1"
                " ORDER BY seq DESC LIMIT 1)) ORDER BY seq",
                (run_id,),
            ).fetchall()
        return Page(genesis(run_id), cast(list[StoredRow], found))

    def run_ids(self) -> list[str]:
        with self.file.reading() as db:
            found = db.execute(
                "SELECT run_id FROM runs WHERE EXISTS (SELECT 1 FROM records WHERE records.run = runs.run)"
                " ORDER BY run DESC"
            ).fetchall()
        return [str(run_id) for (run_id,) in found]

    def changes(self) -> int:
        return self.file.changes()

    def close(self) -> None:
        self.file.close()
