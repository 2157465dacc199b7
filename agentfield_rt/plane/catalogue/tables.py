"""Rows as SQLite keeps them: words as JSON, truth as a number. One table for each kind of row."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, get_args, get_origin, get_type_hints

import msgspec

from agentfield_journal.stores.sqlite_connection import Bindings, Database, SqlValue
from agentfield_rt.plane.catalogue.rows import RowT

_words = msgspec.json.Decoder(tuple[str, ...]).decode
_encode = msgspec.json.Encoder().encode


def encode_words(words: Iterable[str]) -> str:
    """Several words as one value."""
    return _encode(list(words)).decode()


class Reader(Generic[RowT]):
    """Reads rows of one kind from whatever table or view has their columns."""

    def __init__(self, row: type[RowT]) -> None:
        self._row = row
        self.columns: tuple[str, ...] = row.__struct_fields__
        hints = get_type_hints(row)
        self._truths = [name for name in self.columns if hints[name] is bool]
        self._words = [name for name in self.columns if get_origin(hints[name]) is tuple]
        assert all(get_args(hints[name]) == (str, ...) for name in self._words)

    def select(self, db: Database, clause: str, bindings: Bindings = ()) -> list[RowT]:
        """Rows of a table: `clause` begins with its name."""
        found = db.execute(f"SELECT {', '.join(self.columns)} FROM {clause}", bindings)
        return [self._make(values) for values in found.fetchall()]

    def _make(self, values: Sequence[SqlValue]) -> RowT:
        given: dict[str, Any] = dict(zip(self.columns, values, strict=True))
        for name in self._truths:
            given[name] = bool(given[name])
        for name in self._words:
            given[name] = _words(given[name])
        return self._row(**given)


class Table(Reader[RowT]):
    """Keeps rows of one kind, too. `key` names what tells one from another within its run."""

    def __init__(self, row: type[RowT], name: str, *, key: str) -> None:
        super().__init__(row)
        self.name = name
        self._find = f"{name} WHERE {key} = ? AND run_id = ?"
        marks = ", ".join("?" * len(self.columns))
        self._put = f"INSERT OR REPLACE INTO {name} ({', '.join(self.columns)}) VALUES ({marks})"
        self._places = [self.columns.index(each) for each in self._words]

    def finder(self, db: Database, run_id: str) -> Callable[[str], RowT | None]:
        """Finds rows of one run."""

        def find(key: str) -> RowT | None:
            found = self.select(db, self._find, (key, run_id))
            return found[0] if found else None

        return find

    def put(self, db: Database, rows: Iterable[RowT]) -> None:
        """Keep rows, in the place of what was there of them."""
        db.executemany(self._put, map(self._values, rows))

    def _values(self, row: RowT) -> Sequence[SqlValue]:
        values: tuple[Any, ...] = msgspec.structs.astuple(row)
        if not self._places:
            return values
        changed = list(values)
        for place in self._places:
            changed[place] = encode_words(changed[place])
        return changed
