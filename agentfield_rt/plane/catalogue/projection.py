"""The catalogue's file: folds records into rows, each run from where it stood. Blocking, for one thread."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import apsw
import msgspec

from agentfield_journal.envelope import Envelope
from agentfield_journal.ports import RunHead
from agentfield_journal.stores.port import Batch, StoredRow
from agentfield_journal.stores.sqlite_connection import Bindings, Database, SqlValue, connect
from agentfield_rt.core.records import RECORD_TYPES
from agentfield_rt.plane.catalogue.fold import CHANGES
from agentfield_rt.plane.catalogue.schema import APPLICATION_ID, SCHEMA, TABLES_OF_A_RUN, VERSION

RowT = TypeVar("RowT")


class _Peek(msgspec.Struct, gc=False):
    """What is read of every record; most change nothing else."""

    kind: str
    at_ns: int


_peek = msgspec.msgpack.Decoder(_Peek).decode
_decode = msgspec.msgpack.Decoder(Envelope).decode
_PAYLOADS = {kind: msgspec.msgpack.Decoder(RECORD_TYPES[kind]).decode for kind in CHANGES}
_CURSOR = "SELECT seq, hash FROM runs WHERE run_id = ?"
_NEW_RUN = "INSERT INTO runs (run_id, seq, hash, started_at_ns, changed_at_ns) VALUES (?, 0, x'', ?, ?)"
_MOVE = "UPDATE runs SET seq = ?, hash = ?, changed_at_ns = ? WHERE run_id = ?"


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
    def _transaction(self) -> Any:
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
        whole = True
        with self._transaction():
            for batch in batches:
                rows = [(seq, body, digest) for _, seq, body, digest in batch.rows]
                whole = self._fold(batch.run_id, rows) and whole
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
            self._fold(run_id, rows)
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

    def _cursor(self, run_id: str) -> tuple[int, bytes]:
        found = cast(tuple[int, bytes] | None, self._db.execute(_CURSOR, (run_id,)).fetchone())
        return found or (0, b"")

    def _forget(self, run_id: str) -> None:
        for table in TABLES_OF_A_RUN:
            self._db.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))

    def _fold(self, run_id: str, rows: Sequence[StoredRow]) -> bool:
        known, _ = self._cursor(run_id)
        fresh = [row for row in rows if row[0] > known] if rows[0][0] <= known else rows
        if not fresh:
            return True
        if fresh[0][0] != known + 1:
            return False
        db, at_ns = self._db, 0
        for seq, body, _ in fresh:
            peeked = _peek(body)
            at_ns = peeked.at_ns
            if seq == 1:
                db.execute(_NEW_RUN, (run_id, at_ns, at_ns))
            if (change := CHANGES.get(peeked.kind)) is not None:
                envelope = _decode(body)
                with suppress(msgspec.MsgspecError):  # what is no valid record, the auditor reports
                    change(db, envelope, _PAYLOADS[peeked.kind](envelope.payload))
        seq, _, digest = fresh[-1]
        db.execute(_MOVE, (seq, digest, at_ns, run_id))
        return True

    def select(self, row: type[RowT], clause: str, bindings: Bindings = ()) -> list[RowT]:
        """Rows of a table: `clause` begins with its name."""
        names, make = _reader(cast(Any, row))
        found = self._db.execute(f"SELECT {names} FROM {clause}", bindings).fetchall()
        return [cast(RowT, make(values)) for values in found]

    def number(self, query: str, bindings: Bindings = ()) -> int:
        """The one number that a query answers."""
        found = self._db.execute(query, bindings).get
        return found if isinstance(found, int) else 0


@cache
def _reader(row: type[Any]) -> tuple[str, Callable[[Sequence[SqlValue]], Any]]:
    """The columns of a dataclass, and how one is made of them: words are kept as JSON, truth as a number."""
    names = [each.name for each in fields(row)]
    hints = get_type_hints(row)
    converts: list[tuple[str, Callable[[Any], Any]]] = []
    for name in names:
        if hints[name] is bool:
            converts.append((name, bool))
        elif get_origin(hints[name]) is tuple and get_args(hints[name]) == (str, ...):
            converts.append((name, lambda text: tuple(msgspec.json.decode(text, type=list[str]))))

    def make(values: Sequence[SqlValue]) -> Any:
        given: dict[str, Any] = dict(zip(names, values, strict=True))
        for name, convert in converts:
            given[name] = convert(given[name])
        return row(**given)

    return ", ".join(names), make


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
