"""The catalogue's file: folds records into rows, each run from where it stood. Blocking, for one thread."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import apsw
import msgspec

from agentfield_journal.codec import kind_of
from agentfield_journal.envelope import Envelope
from agentfield_journal.ports import RunHead
from agentfield_journal.stores.port import Batch, Position, StoredRow
from agentfield_journal.stores.sqlite_connection import Bindings, Database, connect
from agentfield_rt.core.records import RECORD_TYPES
from agentfield_rt.plane.catalogue.fold import CHANGES, Rows, RunFold
from agentfield_rt.plane.catalogue.rows import ExecutionRow, NoteRow, Row, RowT, RunRow, SessionRow, TurnRow
from agentfield_rt.plane.catalogue.schema import APPLICATION_ID, SCHEMA, TABLES_OF_A_RUN, VERSION
from agentfield_rt.plane.catalogue.tables import Reader, Table, encode_words

_decode = msgspec.msgpack.Decoder(Envelope).decode
_KINDS = {
    kind: (change, msgspec.msgpack.Decoder(RECORD_TYPES[kind]).decode) for kind, change in CHANGES.items()
}
_RUNS_NAMED = "runs WHERE run_id IN (SELECT value FROM json_each(?))"
_CURSOR = "SELECT seq, hash FROM runs WHERE run_id = ?"

RUNS = Table(RunRow, "runs", key="run_id")
EXECUTIONS = Table(ExecutionRow, "executions", key="execution_id")
SESSIONS = Table(SessionRow, "sessions", key="session_id")
TURNS = Table(TurnRow, "turns", key="turn_id")
NOTES = Table(NoteRow, "notes", key="seq")
_READERS: dict[type[Row], Reader[Any]] = {}


class Projection:
    """An open catalogue file. One that is damaged, or of another version, is made anew.

    Args:
        path: Where it is, or is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = self._open()
        except apsw.Error:
            _remove(path)
            self._db = self._open()

    def _open(self) -> Database:
        db = connect(self.path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, None)
        try:
            # What a power cut takes from the end is read again: only the file must stay whole.
            db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF")
            mark = db.execute("PRAGMA application_id").get, db.execute("PRAGMA user_version").get
            if mark != (APPLICATION_ID, VERSION):
                if mark != (0, 0):
                    raise apsw.NotADBError("a catalogue of another version")
                db.execute(
                    f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
                    f"PRAGMA user_version = {VERSION}; COMMIT"
                )
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(apsw.Error):
                self._db.execute("ROLLBACK")
            raise

    def apply(self, batches: Iterable[Batch]) -> bool:
        """Fold what became durable, in the order of commits.

        Returns:
            Whether all of it was taken. What does not follow on what is known of its run is left out.
        """
        runs: dict[str, list[StoredRow]] = {}
        for batch in batches:  # runs know nothing of each other: each is folded at once
            runs.setdefault(batch.run_id, []).extend(row[1:] for row in batch.rows)
        whole = True
        with self._transaction():
            changed = self._changed(runs)
            for run_id, rows in runs.items():
                whole = self._fold(run_id, rows, changed) and whole
            changed.put(self._db)
        return whole

    def extend(self, run_id: str, rows: Sequence[StoredRow]) -> int:
        """Fold a page of a run that was read from the journal; returns after which record to read on.

        The page begins with the last record that is known. If that is another one, the journal is another:
        the run is forgotten and read from the beginning.
        """
        with self._transaction():
            seq, digest = self._cursor(run_id)
            first_seq, _, first_digest = rows[0]
            if first_seq == seq and first_digest != digest:
                self._forget(run_id)
                return 0
            changed = self._changed([run_id])
            self._fold(run_id, rows, changed)
            changed.put(self._db)
        return rows[-1][0]

    def stale(self, heads: Sequence[RunHead]) -> dict[str, int]:
        """The runs that are not known to their end, and after which record to read on."""
        found: dict[str, int] = {}
        with self._transaction():
            for head in heads:
                seq, digest = self._cursor(head.run_id)
                if seq > head.seq or (seq == head.seq and digest != head.hash):
                    self._forget(head.run_id)
                    seq = 0
                if seq < head.seq:
                    found[head.run_id] = max(seq - 1, 0)
        return found

    def keep_only(self, run_ids: Iterable[str]) -> None:
        """Forget the runs that the journal does not have any more."""
        kept = set(run_ids)
        known = [str(run_id) for (run_id,) in self._db.execute("SELECT run_id FROM runs").fetchall()]
        with self._transaction():
            for run_id in known:
                if run_id not in kept:
                    self._forget(run_id)

    def mark(self) -> Position | None:
        """Up to where all of the journal is in here, as far as anybody noted it."""
        found = self._db.execute("SELECT record, hash, gone FROM mark").fetchone()
        return None if found is None else Position(*cast(tuple[int, bytes, int], found))

    def set_mark(self, position: Position) -> None:
        """All of the journal up to there is in here."""
        with self._transaction():
            self._db.execute("DELETE FROM mark")
            place = (position.record, position.hash, position.gone)
            self._db.execute("INSERT INTO mark (record, hash, gone) VALUES (?, ?, ?)", place)

    def _cursor(self, run_id: str) -> tuple[int, bytes]:
        found = cast(tuple[int, bytes] | None, self._db.execute(_CURSOR, (run_id,)).fetchone())
        return found or (0, b"")

    def _forget(self, run_id: str) -> None:
        for table in TABLES_OF_A_RUN:
            self._db.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))

    def _changed(self, run_ids: Iterable[str]) -> "_Changed":
        """What is known of these runs: to look for all at once costs a tenth of looking for each."""
        known = RUNS.select(self._db, _RUNS_NAMED, (encode_words(run_ids),))
        return _Changed({run.run_id: run for run in known})

    def _fold(self, run_id: str, rows: Sequence[StoredRow], into: "_Changed") -> bool:
        run = into.known.get(run_id)
        known = run.seq if run is not None else 0
        after, whole = known, True
        fresh: list[bytes] = []
        digest = b""
        for seq, body, its_digest in rows:
            if seq == after + 1:
                fresh.append(body)
                after, digest = seq, its_digest
            elif seq > after:
                whole = False
                break
        if fresh:
            last = _decode(fresh[-1])
            if run is None:
                first = _decode(fresh[0]) if len(fresh) > 1 else last
                run = RunRow(
                    run_id=run_id, seq=0, hash=b"", started_at_ns=first.at_ns, changed_at_ns=last.at_ns
                )
            run.seq, run.hash, run.changed_at_ns = after, digest, last.at_ns
            fold = self._run_fold(run, is_new=not known)
            for body in fresh[:-1]:
                if (kind := kind_of(body)) in _KINDS:
                    _change(fold, _decode(body), kind)
            if last.kind in _KINDS:
                _change(fold, last, last.kind)
            into.take(fold)
        return whole

    def _run_fold(self, run: RunRow, *, is_new: bool) -> RunFold:
        if is_new:  # then there is nothing of it to be found
            return RunFold(run, executions=Rows(), sessions=Rows(), turns=Rows())
        return RunFold(
            run,
            executions=Rows(EXECUTIONS.finder(self._db, run.run_id)),
            sessions=Rows(SESSIONS.finder(self._db, run.run_id)),
            turns=Rows(TURNS.finder(self._db, run.run_id)),
        )

    def select(self, row: type[RowT], clause: str, bindings: Bindings = ()) -> list[RowT]:
        """Rows of a table: `clause` begins with its name."""
        return _reader(row).select(self._db, clause, bindings)

    def number(self, query: str, bindings: Bindings = ()) -> int:
        """The one number that a query answers."""
        found = self._db.execute(query, bindings).get
        return found if isinstance(found, int) else 0


class _Changed:
    """Rows of several runs that are to be kept: all of a table at once costs least.

    Attributes:
        known: The runs as they were before.
    """

    def __init__(self, known: dict[str, RunRow]) -> None:
        self.known = known
        self._runs: list[RunRow] = []
        self._executions: list[ExecutionRow] = []
        self._sessions: list[SessionRow] = []
        self._turns: list[TurnRow] = []
        self._notes: list[NoteRow] = []

    def take(self, fold: RunFold) -> None:
        self._runs.append(fold.run)
        self._executions += fold.executions.values()
        self._sessions += fold.sessions.values()
        self._turns += fold.turns.values()
        self._notes += fold.notes

    def put(self, db: Database) -> None:
        RUNS.put(db, self._runs)
        EXECUTIONS.put(db, self._executions)
        SESSIONS.put(db, self._sessions)
        TURNS.put(db, self._turns)
        NOTES.put(db, self._notes)


def _change(fold: RunFold, envelope: Envelope, kind: str) -> None:
    change, payload = _KINDS[kind]
    with suppress(msgspec.MsgspecError):  # what is no valid record, the auditor reports
        change(fold, envelope, payload(envelope.payload))


def _reader(row: type[RowT]) -> Reader[RowT]:
    found = _READERS.get(row)
    if found is None:
        found = _READERS[row] = Reader(row)
    return cast(Reader[RowT], found)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
