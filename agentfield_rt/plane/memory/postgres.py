"""Sealed memory in PostgreSQL. Needs the extra `postgres`. A lost connection fails what was under way."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import LiteralString, TypeVar, cast

import psycopg

from agentfield_journal import JournalError, JournalFull, JournalUnavailable
from agentfield_rt.plane.memory.writes import Drawer, Folded, Row, RowKey, Write, fold

ResultT = TypeVar("ResultT")

_SESSION = "-c lock_timeout=4s -c statement_timeout=4s -c idle_in_transaction_session_timeout=4s"
_SCHEMA: LiteralString = """
SELECT pg_advisory_xact_lock(1095126349);
CREATE SCHEMA IF NOT EXISTS agentfield_memory;
CREATE TABLE IF NOT EXISTS agentfield_memory.drawers (
    drawer bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tag bytea NOT NULL UNIQUE, key_ref text NOT NULL,
    entries bigint NOT NULL, bytes bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS agentfield_memory.entries (
    drawer bigint NOT NULL, name bytea NOT NULL, sealed bytea NOT NULL,
    created_at_ns bigint NOT NULL, updated_at_ns bigint NOT NULL, PRIMARY KEY (drawer, name)
);
"""
_DURABLE: LiteralString = "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
# In one order, so that groups of two planes wait for each other and not in a circle.
_DRAWERS: LiteralString = (
    "SELECT tag, drawer, key_ref, entries, bytes FROM agentfield_memory.drawers"
    " WHERE tag = ANY(%s) ORDER BY tag FOR UPDATE"
)
_PREVIOUS: LiteralString = (
    "SELECT d.tag, e.name, e.sealed, e.created_at_ns, e.updated_at_ns"
    " FROM unnest(%s::bigint[], %s::bytea[]) AS wanted (drawer, name)"
    " JOIN agentfield_memory.entries e USING (drawer, name) JOIN agentfield_memory.drawers d USING (drawer)"
)
_STORE: LiteralString = (
    "INSERT INTO agentfield_memory.entries (drawer, name, sealed, created_at_ns, updated_at_ns)"
    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (drawer, name)"
    " DO UPDATE SET sealed = excluded.sealed, updated_at_ns = excluded.updated_at_ns"
)
_DELETE: LiteralString = "DELETE FROM agentfield_memory.entries WHERE drawer = %s AND name = %s"
_RESIZE: LiteralString = "UPDATE agentfield_memory.drawers SET entries = %s, bytes = %s WHERE drawer = %s"
_OPEN: LiteralString = (
    "INSERT INTO agentfield_memory.drawers (tag, key_ref, entries, bytes) VALUES (%s, %s, 0, 0)"
    " ON CONFLICT (tag) DO NOTHING"
)
_DROP: LiteralString = (
    "DELETE FROM agentfield_memory.drawers WHERE tag = %s AND key_ref = %s RETURNING drawer"
)
_KEY_REF: LiteralString = "SELECT key_ref FROM agentfield_memory.drawers WHERE tag = %s"
_LOAD: LiteralString = (
    "SELECT name, sealed, created_at_ns, updated_at_ns FROM agentfield_memory.entries"
    " WHERE drawer = (SELECT drawer FROM agentfield_memory.drawers WHERE tag = %s)"
)


class PostgresMemory:
    """Memory in the schema `agentfield_memory` of a database.

    Several planes may share one, but a drawer is read by those only that have its key in their content store.

    Raises:
        JournalUnavailable: the server cannot be reached, or does not sync what it commits.
    """

    blocking = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections: dict[int, psycopg.Connection] = {}
        try:
            self._in_reach(self._create)
        except BaseException:
            self.close()
            raise

    def _create(self, connection: psycopg.Connection) -> None:
        if connection.execute(_DURABLE).fetchone() not in (("on", "on"), ("on", "local"), *_REPLICATED):
            raise JournalUnavailable(
                "the server of memory has fsync or synchronous_commit off: what it commits is not durable"
            )
        with connection.transaction():
            connection.execute(_SCHEMA, prepare=False)

    def _in_reach(self, job: Callable[[psycopg.Connection], ResultT]) -> ResultT:
        """Do it over the calling thread's connection; once more over a new one if that had broken.

        Twice is as good as once: what is stored is the same.
        """
        thread = threading.get_ident()
        connection = self._connections.get(thread)
        if connection is not None:
            try:
                with _typed_errors():
                    return job(connection)
            except JournalUnavailable:
                if not connection.broken:
                    raise
        with _typed_errors():
            connection = self._connections[thread] = self._connect()
            return job(connection)

    def _connect(self) -> psycopg.Connection:
        try:
            return psycopg.connect(self._url, autocommit=True, connect_timeout=3, options=_SESSION)
        except psycopg.Error as error:
            # What libpq says of it may repeat the address, and so its password.
            raise JournalUnavailable(
                "no connection to the server of memory: is it running, and are the host, port, user, password"
                " and database of AGENTFIELD_RT_MEMORY_URL right? psql, with that address, says more"
            ) from error

    def commit(self, group: list[Write], /) -> list[Write]:
        error: JournalError | None = None
        try:
            self._in_reach(lambda connection: _commit(connection, group))
        except JournalError as failure:
            error = failure
        for write in group:
            write.error = error
        return []

    def tend(self) -> None:
        """Nothing to do."""

    def open_drawer(self, tag: bytes, key_ref: str) -> str:
        def make(connection: psycopg.Connection) -> str:
            connection.execute(_OPEN, (tag, key_ref))
            return str(cast(tuple[str], connection.execute(_KEY_REF, (tag,)).fetchone())[0])

        return self._in_reach(make)

    def drop(self, tag: bytes, key_ref: str) -> None:
        def delete(connection: psycopg.Connection) -> None:
            with (
                connection.transaction()
            ):  # the drawer first: who writes into it waits for that, and finds none
                for (drawer,) in connection.execute(_DROP, (tag, key_ref)).fetchall():
                    connection.execute("DELETE FROM agentfield_memory.entries WHERE drawer = %s", (drawer,))

        self._in_reach(delete)

    def key_ref(self, tag: bytes) -> str | None:
        found = self._in_reach(lambda connection: connection.execute(_KEY_REF, (tag,)).fetchone())
        return None if found is None else str(found[0])

    def load(self, tag: bytes, name: bytes) -> Row | None:
        found = self._in_reach(
            lambda connection: connection.execute(
                _LOAD + " AND name = %s", (tag, name), binary=True
            ).fetchone()
        )
        return None if found is None else _as_row(found)

    def page(self, tag: bytes, *, after: bytes, limit: int) -> list[Row]:
        wanted: LiteralString = _LOAD + " AND name > %s ORDER BY name LIMIT %s"
        found = self._in_reach(
            lambda connection: connection.execute(wanted, (tag, after, limit), binary=True).fetchall()
        )
        return [_as_row(row) for row in found]

    def drawers(self, *, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        wanted: LiteralString = (
            "SELECT tag, key_ref FROM agentfield_memory.drawers WHERE tag > %s ORDER BY tag LIMIT %s"
        )
        found = self._in_reach(lambda connection: connection.execute(wanted, (after, limit)).fetchall())
        return [(bytes(tag), str(key_ref)) for tag, key_ref in found]

    def close(self) -> None:
        for connection in self._connections.values():
            with suppress(psycopg.Error):
                connection.close()
        self._connections.clear()


_REPLICATED = (("on", "remote_write"), ("on", "remote_apply"))


def _commit(connection: psycopg.Connection, group: list[Write]) -> None:
    with connection.transaction():
        tags = sorted({write.tag for write in group})
        found = cast(
            list[tuple[bytes, int, str, int, int]],
            connection.execute(_DRAWERS, (tags,), binary=True).fetchall(),
        )
        drawers = {tag: Drawer(number, ref, rows, size) for tag, number, ref, rows, size in found}
        _store(connection, drawers, fold(group, drawers, _previous(connection, drawers, group)))


def _previous(
    connection: psycopg.Connection, drawers: dict[bytes, Drawer], group: list[Write]
) -> dict[RowKey, Row]:
    wanted = list({(drawers[write.tag].number, write.name) for write in group if write.tag in drawers})
    numbers, names = [number for number, _ in wanted], [name for _, name in wanted]
    found = connection.execute(_PREVIOUS, (numbers, names), binary=True).fetchall()
    return {(row[0], row[1]): _as_row(row[1:]) for row in found}


def _store(connection: psycopg.Connection, drawers: dict[bytes, Drawer], folded: Folded) -> None:
    stored = [
        (drawers[tag].number, name, row.sealed, row.created_at_ns, row.updated_at_ns)
        for (tag, name), row in folded.stored.items()
    ]
    deleted = [(drawers[tag].number, name) for tag, name in folded.deleted]
    resized = [(drawers[tag].rows, drawers[tag].bytes, drawers[tag].number) for tag in folded.drawers]
    with connection.cursor() as cursor:
        if stored:
            cursor.executemany(_STORE, stored)
        if deleted:
            cursor.executemany(_DELETE, deleted)
        cursor.executemany(_RESIZE, resized)


def _as_row(found: tuple[object, ...]) -> Row:
    return Row(*cast(tuple[bytes, bytes, int, int], found))


@contextmanager
def _typed_errors() -> Generator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise JournalFull("the server of memory has no room; free some") from error
    except psycopg.Error as error:
        raise JournalUnavailable(f"the server of memory failed: {type(error).__name__}") from error
