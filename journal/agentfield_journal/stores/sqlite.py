"""Records of all runs in one SQLite file, one synced transaction per group. Tables: see FORMAT.md."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from agentfield_journal.codec import genesis
from agentfield_journal.envelope import FORMAT_VERSION
from agentfield_journal.errors import JournalConflict, JournalFull
from agentfield_journal.stores.port import BATCH_BYTES_MAX, Batch, Claim, Page, Position, Row, StoredRow
from agentfield_journal.stores.reserve import RESERVE_BYTES, Reserve
from agentfield_journal.stores.sqlite_archive import Archives, ArchiveStore
from agentfield_journal.stores.sqlite_connection import Database
from agentfield_journal.stores.sqlite_file import FileKind, SqliteFile, whole_number

# Rows lie in order of commit. One index over (run, seq) would make every group write a page for each of its
# runs, so the index begins with a block: the records of about a thousand rows are near each other in
# it, and `spans` tells which blocks hold a run.
_SCHEMA = """
CREATE TABLE runs (run INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE records (
    id INTEGER PRIMARY KEY, block INTEGER NOT NULL, run INTEGER NOT NULL, seq INTEGER NOT NULL,
    body BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX records_by_block ON records (block, run, seq);
CREATE TABLE spans (
    run INTEGER NOT NULL, block INTEGER NOT NULL, first_seq INTEGER NOT NULL, PRIMARY KEY (run, block)
) STRICT, WITHOUT ROWID;
CREATE TABLE archives (run INTEGER PRIMARY KEY, file TEXT, seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
"""
_BLOCK_RECORDS = 1_024
OPEN_RUNS_MAX = 16_384
"""Runs of which it is remembered where they stand; the file says it of others, when they go on."""

_INSERT_RUN = "INSERT INTO runs (run, run_id, epoch) VALUES (?, ?, 1) ON CONFLICT (run_id) DO NOTHING"
# Of a run that was forgotten and goes on in the same block, the span is there already, with its first record.
_INSERT_SPAN = "INSERT INTO spans (run, block, first_seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_LAST = (
    "SELECT seq, body, hash FROM runs CROSS JOIN records USING (run) WHERE run_id = ?"
    " AND block = (SELECT max(block) FROM spans WHERE spans.run = runs.run) ORDER BY seq DESC LIMIT 1"
)
_PAGE = (
    "SELECT seq, body, hash FROM runs CROSS JOIN spans USING (run) CROSS JOIN records USING (run, block)"
    " WHERE run_id = ?1 AND seq >= ?2 AND block >= ifnull("
    " (SELECT block FROM spans AS s WHERE s.run = runs.run AND first_seq <= ?2"
    " ORDER BY block DESC LIMIT 1), 0) ORDER BY block, seq LIMIT ?3"
)
_GONE = "SELECT count(*) + count(*) FILTER (WHERE file IS NULL) FROM archives"
_RUNS_SINCE = "SELECT DISTINCT run_id FROM records CROSS JOIN runs USING (run) WHERE id > ?"
_CROSS_CHECKS = {
    "records cannot be found by their run": (
        "SELECT count(*) FROM records LEFT JOIN spans USING (run, block) LEFT JOIN runs USING (run)"
        " WHERE first_seq IS NULL OR run_id IS NULL"
    ),
    "spans do not begin where they say": (
        "SELECT count(*) FROM spans AS s WHERE first_seq IS NOT"
        " (SELECT min(seq) FROM records AS r WHERE r.block = s.block AND r.run = s.run)"
    ),
}
JOURNAL_FILE = FileKind(application_id=0x41464A31, format_version=FORMAT_VERSION, schema=_SCHEMA)  # "AFJ1"


class _OpenRun(msgspec.Struct, gc=False, kw_only=True):
    """A run that this store has claimed. `last_block` is the newest that has records of it, 0 if unknown."""

    epoch: int
    next_seq: int
    last_block: int


@dataclass(slots=True)
class _Group:
    """What one transaction stores: runs that begin, where runs go on, records."""

    begins: list[tuple[int, str]]
    spans: list[tuple[int, int, int]]
    rows: list[Row]


class _NameTaken(JournalConflict):
    """A run was to begin that the file knows already."""


class SqliteStore:
    """A journal file. See `SqliteFile` for the other arguments and what opening raises.

    Args:
        reserve_bytes: Room on the disk kept back for closing records; 0 keeps none.
    """

    blocking = True
    batch_bytes_max = BATCH_BYTES_MAX

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        vfs: str | None = None,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        self.file = SqliteFile(path, JOURNAL_FILE, read_only=read_only, vfs=vfs)
        self._archives = Archives(self.file, partial(_open_archive, vfs=vfs))
        self._open_runs: dict[str, _OpenRun] = {}
        self.full = False
        keeps_room = vfs is None and not read_only and reserve_bytes > 0
        self._reserve = Reserve(self.file.path, reserve_bytes) if keeps_room else None
        self._block = 0
        self._block_records = 0
        self._run_numbers = itertools.count(1)  # of CPython, `next` of it is atomic
        if not read_only:
            try:
                self._resume_block()
                if vfs is None:
                    self._archives.remove_orphans(self)
                if self._reserve is not None:
                    self.full = not self._reserve.take()
                    self.file.make_room_for_log()
            except BaseException:
                self.close()
                raise

    def _resume_block(self) -> None:
        with self.file.reading() as db:
            self._block = whole_number(db.execute("SELECT ifnull(max(block), 0) FROM records").get) + 1
            last_run = whole_number(db.execute("SELECT ifnull(max(run), 0) FROM runs").get)
        self._run_numbers = itertools.count(last_run + 1)

    @property
    def shared(self) -> bool:
        return self.file.read_only

    def claim(self, run_id: str) -> Claim:
        return self.claim_all([run_id])[0]

    def claim_all(self, run_ids: Sequence[str], /) -> list[Claim]:
        with self.file.transaction() as db:
            claims = [self._claim(db, run_id) for run_id in run_ids]
        for run_id, claim in zip(run_ids, claims, strict=True):
            known = self._open_runs.get(run_id)
            block = known.last_block if known else 0
            self._open_runs[run_id] = _OpenRun(epoch=claim.epoch, next_seq=claim.seq + 1, last_block=block)
        self._forget_oldest()
        return claims

    def _forget_oldest(self) -> None:
        for run_id in list(itertools.islice(self._open_runs, max(len(self._open_runs) - OPEN_RUNS_MAX, 0))):
            del self._open_runs[run_id]

    def _remember(self, run_id: str) -> _OpenRun | None:
        """A run that goes on and was forgotten, as the file has it."""
        with self.file.reading() as db:
            epoch = db.execute("SELECT epoch FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            last = cast(StoredRow | None, db.execute(_LAST, (run_id,)).fetchone())
        if epoch is None:
            return None
        last_seq = 0 if last is None else last[0]
        found = _OpenRun(epoch=whole_number(epoch[0]), next_seq=last_seq + 1, last_block=0)
        self._open_runs[run_id] = found
        return found

    def _claim(self, db: Database, run_id: str) -> Claim:
        self._archives.require_here(db, run_id)
        db.execute(
            "INSERT INTO runs (run, run_id, epoch) VALUES (?, ?, 1)"
            " ON CONFLICT (run_id) DO UPDATE SET epoch = epoch + 1",
            (self.new_run(), run_id),
        )
        found = db.execute("SELECT run, epoch FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        run, epoch = cast(tuple[int, int], found)
        last = cast(StoredRow | None, db.execute(_LAST, (run_id,)).fetchone())
        seq, digest = (last[0], last[2]) if last else (0, genesis(run_id))
        return Claim(run=run, epoch=epoch, seq=seq, hash=digest)

    def new_run(self) -> int:
        return next(self._run_numbers)

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        refused: list[Batch] = []
        group = _Group([], [], [])
        rows, spans = group.rows, group.spans
        block = self._block
        for batch in batches:
            # The file's generation, checked in the transaction, proves that these claims are the file's.
            open_run = self._open_runs.get(batch.run_id)
            if batch.begins and open_run is None:
                open_run = self._open_runs[batch.run_id] = _OpenRun(epoch=1, next_seq=1, last_block=0)
                group.begins.append((batch.rows[0][0], batch.run_id))
            elif batch.begins:
                open_run = None
            elif open_run is None:
                open_run = self._remember(batch.run_id)
            if open_run is None or batch.epoch != open_run.epoch:
                refused.append(batch)
                continue
            batch_rows = batch.rows
            run, seq, _, _ = batch_rows[0]
            if seq != open_run.next_seq:
                raise JournalConflict(f"run {batch.run_id}: seq {seq} is not the next; nothing was stored")
            open_run.next_seq = seq + len(batch_rows)
            if open_run.last_block != block:
                open_run.last_block = block
                spans.append((run, block, seq))
            rows += batch_rows
        try:
            self._store_with_room(group)
        except _NameTaken:
            taken = self._drop_taken(group)
            refused += [batch for batch in batches if batch.begins and batch.rows[0][0] in taken]
            self._store_with_room(group)
        self._block_records += len(rows)
        if self._block_records >= _BLOCK_RECORDS:
            self._block, self._block_records = self._block + 1, 0
        self._forget_oldest()
        return refused

    def _store_with_room(self, group: "_Group") -> None:
        try:
            self._store(group)
        except JournalFull:
            # Nothing was stored: the room kept back lets this group in, and closers after it.
            if self._reserve is None or not self._reserve.give_up():
                raise
            self.full = True
            self.file.continue_after_full()
            self._store(group)

    def _store(self, group: "_Group") -> None:
        with self.file.transaction() as db:
            if group.begins:
                before = db.total_changes()
                db.executemany(_INSERT_RUN, group.begins)
                if db.total_changes() - before != len(group.begins):
                    raise _NameTaken
            if group.spans:
                db.executemany(_INSERT_SPAN, group.spans)
            db.executemany(self._insert(), group.rows)

    def _drop_taken(self, group: "_Group") -> set[int]:
        """Take out of a group what was to begin runs that the file knows; the numbers of those."""
        with self.file.transaction() as db:
            known = {
                (run, run_id)
                for run, run_id in group.begins
                if db.execute("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)).fetchone() is not None
            }
        for _, run_id in known:
            del self._open_runs[run_id]
        taken = {run for run, _ in known}
        group.begins[:] = [begun for begun in group.begins if begun not in known]
        group.spans[:] = [span for span in group.spans if span[0] not in taken]
        group.rows[:] = [row for row in group.rows if row[0] not in taken]
        return taken

    def after_acknowledgement(self, *, waiting: bool) -> None:
        self.file.checkpoint_when_due(idle=not waiting)

    def tend(self) -> None:
        self.file.checkpoint_when_due(idle=True)
        if self.full and self._reserve is not None:
            self.full = not self._reserve.take()

    def page(self, run_id: str, after: int, limit: int) -> Page:
        with self.file.reading() as db:
            rows = cast(list[StoredRow], db.execute(_PAGE, (run_id, after, limit + 1)).fetchall())
        if not rows:
            with self._archives.holding(run_id) as archive:
                if archive is not None:
                    return archive.page(run_id, after, limit)
        if after > 0 and rows and rows[0][0] == after:
            return Page(rows[0][2], rows[1:])
        return Page(genesis(run_id), rows[:limit])

    def ends(self, run_id: str) -> Page:
        with self.file.reading() as db:
            first = cast(list[StoredRow], db.execute(_PAGE, (run_id, 0, 1)).fetchall())
            last = cast(list[StoredRow], db.execute(_LAST, (run_id,)).fetchall())
        if not last:
            with self._archives.holding(run_id) as archive:
                if archive is not None:
                    return archive.ends(run_id)
        return Page(genesis(run_id), first if first == last else first + last)

    def run_ids(self) -> list[str]:
        with self.file.reading() as db:
            found = db.execute(
                "SELECT run_id FROM runs WHERE EXISTS (SELECT 1 FROM spans WHERE spans.run = runs.run)"
                " OR EXISTS (SELECT 1 FROM archives WHERE archives.run = runs.run AND file IS NOT NULL)"
                " ORDER BY run DESC"
            ).fetchall()
        return [str(run_id) for (run_id,) in found]

    def position(self) -> Position:
        with self.file.reading() as db:
            last = db.execute("SELECT id, hash FROM records ORDER BY id DESC LIMIT 1").fetchone()
            record, digest = cast(tuple[int, bytes], last or (0, b""))
            return Position(record, digest, whole_number(db.execute(_GONE).get))

    def runs_since(self, position: Position, /) -> list[str] | None:
        with self.file.reading() as db:
            there = db.execute("SELECT hash FROM records WHERE id = ?", (position.record,)).fetchone()
            if position.record and there != (position.hash,):
                return None
            if db.execute(_GONE).get != position.gone:
                return None
            found = db.execute(_RUNS_SINCE, (position.record,)).fetchall()
        return [str(run_id) for (run_id,) in found]

    def epochs(self) -> dict[str, int]:
        with self.file.reading() as db:
            found = db.execute("SELECT run_id, epoch FROM runs").fetchall()
        return {str(run_id): epoch if isinstance(epoch, int) else 0 for run_id, epoch in found}

    def integrity_problems(self) -> list[str]:
        problems = self.file.integrity_problems() + self._archives.problems()
        with self.file.reading() as db:
            for what, query in _CROSS_CHECKS.items():
                if count := whole_number(db.execute(query).get):
                    problems.append(f"{self.file.path}: {count} {what}")
        return problems

    def archive_names(self) -> list[str]:
        """Files beside this one that hold runs of it."""
        return self._archives.names()

    def changes(self) -> int:
        return self.file.changes()

    def copy_to_archive(self, run_ids: Sequence[str]) -> tuple[Path, list[str]] | None:
        """Copy finished runs to a new sealed file beside this one; from any thread, between reads."""
        return self._archives.copy(self, run_ids)

    def clear_archived(self, run_id: str) -> None:
        """Delete a run from its archive, if it is in one; from any thread, between reads."""
        self._archives.clear(run_id)

    def leave(self, run_id: str, file: str | None) -> None:
        """Delete a run here for the archive `file`, or for good. Its name cannot be used again."""
        self._archives.leave(self, run_id, file)

    def adopt(self, run_id: str, epoch: int, pages: Callable[[int], Page]) -> None:
        """Copy a run into this file as it is: `pages` gives what follows a seq, empty at the end."""
        after = 0
        while rows := pages(after).rows:
            with self.file.transaction() as db:
                db.execute(
                    "INSERT INTO runs (run, run_id, epoch) VALUES (?, ?, ?) ON CONFLICT (run_id) DO NOTHING",
                    (self.new_run(), run_id, epoch),
                )
                run = whole_number(db.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,)).get)
                db.execute(
                    "INSERT INTO spans (run, block, first_seq) VALUES (?, ?, ?)",
                    (run, self._block, after + 1),
                )
                db.executemany(self._insert(), [(run, *row) for row in rows])
            self._block += 1
            after = rows[-1][0]

    def remove(self, db: Database, run: int) -> None:
        """Delete the rows of a run, inside the caller's transaction; the freed space is overwritten."""
        db.execute(
            "DELETE FROM records WHERE id IN"
            " (SELECT id FROM spans CROSS JOIN records USING (run, block) WHERE run = ?)",
            (run,),
        )
        db.execute("DELETE FROM spans WHERE run = ?", (run,))

    def _insert(self) -> str:
        return f"INSERT INTO records (block, run, seq, body, hash) VALUES ({self._block}, ?, ?, ?, ?)"

    def close(self) -> None:
        self._archives.close()
        self.file.close()
        if self._reserve is not None:
            self._reserve.give_up()


def _open_archive(path: Path, read_only: bool, *, vfs: str | None) -> ArchiveStore:
    return SqliteStore(path, read_only=read_only, vfs=vfs, reserve_bytes=0)
