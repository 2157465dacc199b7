"""The part of apsw that we use, with types: its own stubs leave the bindings partly unknown.

Nothing at run time: `connect` returns apsw's connection as it is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import apsw

SqlValue: TypeAlias = int | float | str | bytes | None
Bindings: TypeAlias = Sequence[SqlValue] | Mapping[str, SqlValue]
"""Values in the order of the statement's parameters, or by their names."""


class Rows(Protocol):
    """A result; `get` is the only value of its only row."""

    @property
    def get(self) -> object: ...
    def fetchone(self) -> tuple[SqlValue, ...] | None: ...
    def fetchall(self) -> list[tuple[SqlValue, ...]]: ...


class Database(Protocol):
    """One SQLite connection."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, statements: str, bindings: Bindings = (), /) -> Rows: ...
    def executemany(self, statements: str, sequence: Iterable[Sequence[SqlValue]], /) -> Rows: ...
    def last_insert_rowid(self) -> int: ...
    def total_changes(self) -> int: ...
    def config(self, op: int, value: int, /) -> int: ...
    def set_busy_timeout(self, milliseconds: int, /) -> None: ...
    def set_wal_hook(self, hook: Callable[["Database", str, int], int], /) -> None: ...
    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]: ...
    def close(self) -> None: ...


def connect(path: Path, flags: int, vfs: str | None) -> Database:
    """Open `path` with SQLite's own open `flags`, through the file layer registered as `vfs`."""
    return cast(Database, apsw.Connection(str(path), flags=flags, vfs=vfs))


def connect_unchanging(path: Path) -> Database:
    """Open for reading an absolute `path` that nobody writes: without locks, shared memory or log."""
    uri = f"{path.as_uri()}?immutable=1"
    return cast(Database, apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI))
