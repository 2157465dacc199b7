"""Records in PostgreSQL: one transaction per group, epochs checked inside it. Needs the extra `postgres`.

Several processes may share one database; each run still has one writer.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import LiteralString, cast

import psycopg

from agentfield_journal.codec import genesis
from agentfield_journal.envelope import FORMAT_VERSION
from agentfield_journal.errors import JournalUnavailable, UnknownVersion
from agentfield_journal.stores import postgres_leases
from agentfield_journal.stores.leasing import HeldLeases, LeaseTerms
from agentfield_journal.stores.port import BATCH_BYTES_MAX, Batch, Claim, Page, StoredRow
from agentfield_journal.stores.postgres_errors import typed_errors
from agentfield_journal.stores.postgres_line import APPEND_FUNCTION, PostgresLine

# A process that stops in the middle of a claim loses the fence before others stop waiting for it.
_SESSION = "-c lock_timeout=5s -c idle_in_transaction_session_timeout=3s"
_SCHEMA: LiteralString = """
CREATE SCHEMA IF NOT EXISTS agentfield_journal;
CREATE TABLE IF NOT EXISTS agentfield_journal.format (version integer NOT NULL PRIMARY KEY);
CREATE TABLE IF NOT EXISTS agentfield_journal.runs (
    run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id bytea NOT NULL UNIQUE, epoch bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS agentfield_journal.records (
    run bigint NOT NULL, seq bigint NOT NULL, body bytea NOT NULL, hash bytea NOT NULL, PRIMARY KEY (run, seq)
);
"""
# Claims take this lock alone and commits share it: a claim waits for commits in flight, and a commit
# that starts after it sees the new epoch. Locking the runs' rows would write to each of them.
_TAKE_FENCE: LiteralString = "SELECT pg_advisory_xact_lock(1095125553)"
_CLAIM: LiteralString = (
    "INSERT INTO agentfield_journal.runs (run_id, epoch) VALUES (%s, 1)"
    " ON CONFLICT (run_id) DO UPDATE SET epoch = runs.epoch + 1 RETURNING run, epoch"
)
_LAST: LiteralString = (
    "SELECT seq, body, hash FROM agentfield_journal.records WHERE run ="
    " (SELECT run FROM agentfield_journal.runs WHERE run_id = %s) ORDER BY seq DESC LIMIT 1"
)
_PAGE: LiteralString = (
    "SELECT seq, body, hash FROM agentfield_journal.records WHERE run ="
    " (SELECT run FROM agentfield_journal.runs WHERE run_id = %s) AND seq >= %s ORDER BY seq LIMIT %s"
)
_RUN_IDS: LiteralString = (
    "SELECT run_id FROM agentfield_journal.runs AS r WHERE EXISTS"
    " (SELECT 1 FROM agentfield_journal.records AS d WHERE d.run = r.run) ORDER BY run DESC"
)


class PostgresStore:
    """A journal in the schema `agentfield_journal` of a database.

    Args:
        url: `postgresql://user@host/database`, as libpq reads it.
        read_only: Create and write nothing.
        terms: Of the leases that `claim` takes.

    Raises:
        JournalUnavailable: the server cannot be reached, or does not sync what it commits.
        UnknownVersion: a newer version of this package wrote there.
    """

    blocking = True
    shared = True
    full = False
    batch_bytes_max = BATCH_BYTES_MAX

    def __init__(self, url: str, *, read_only: bool = False, terms: LeaseTerms | None = None) -> None:
        self.leases = HeldLeases(terms or LeaseTerms())
        self._url = url
        self._read_only = read_only
        self._reader: psycopg.Connection | None = None
        self._line: PostgresLine | None = None
        with typed_errors():
            self._writer = _connect(url)
            try:
                if not read_only:
                    self._create()
                self._check()
                if not read_only:
                    self._line = PostgresLine(_connect(url))
            except BaseException:
                self._writer.close()
                raise

    def _create(self) -> None:
        with self._writer.transaction():
            self._writer.execute(_TAKE_FENCE)
            self._writer.execute(_SCHEMA, prepare=False)
            self._writer.execute(postgres_leases.LEASES_TABLE)
            self._writer.execute(APPEND_FUNCTION)
            self._writer.execute(
                "INSERT INTO agentfield_journal.format SELECT %s WHERE NOT EXISTS"
                " (SELECT 1 FROM agentfield_journal.format)",
                (FORMAT_VERSION,),
            )

    def _check(self) -> None:
        settings = self._writer.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
        if settings is None or settings[0] != "on" or settings[1] == "off":
            raise JournalUnavailable(
                "the server has fsync or synchronous_commit off: what it commits is not durable"
            )
        version = self._writer.execute("SELECT max(version) FROM agentfield_journal.format").fetchone()
        if version is not None and version[0] > FORMAT_VERSION:
            raise UnknownVersion(f"the database has format {version[0]}; upgrade agentfield-rt")

    def claim(self, run_id: str) -> Claim:
        if self._read_only:
            raise JournalUnavailable("the journal is open for reading only")
        name = run_id.encode()
        asked_s = self.leases.clock_s()
        with typed_errors(), self._writer.transaction():
            self._writer.execute(_TAKE_FENCE)
            run, epoch = cast(tuple[int, int], self._writer.execute(_CLAIM, (name,)).fetchone())
            postgres_leases.take(self._writer, self.leases, run_id, run=run, epoch=epoch)
            last = cast(StoredRow | None, self._writer.execute(_LAST, (name,)).fetchone())
        self.leases.hold(run_id, epoch, asked_s=asked_s)
        seq, digest = (last[0], last[2]) if last else (0, genesis(run_id))
        return Claim(run=run, epoch=epoch, seq=seq, hash=digest)

    def renew(self) -> None:
        with typed_errors():
            postgres_leases.renew(self._writer, self.leases)

    def release(self, runs: Mapping[str, int]) -> None:
        with typed_errors():
            postgres_leases.release(self._writer, self.leases, runs)

    def line(self) -> PostgresLine | None:
        return self._line

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        if self._line is None:
            raise JournalUnavailable("the journal is open for reading only")
        return self._line.commit(batches)

    def tend(self) -> None:
        """The server looks after itself."""

    def _reading(self) -> psycopg.Connection:
        if self._reader is None:
            self._reader = _connect(self._url)
        return self._reader

    def page(self, run_id: str, after: int, limit: int) -> Page:
        with typed_errors():
            found = (
                self._reading().execute(_PAGE, (run_id.encode(), after, limit + 1), binary=True).fetchall()
            )
        rows = cast(list[StoredRow], found)
        if after > 0 and rows and rows[0][0] == after:
            return Page(rows[0][2], rows[1:])
        return Page(genesis(run_id), rows[:limit])

    def ends(self, run_id: str) -> Page:
        with typed_errors():
            name = run_id.encode()
            first = cast(
                list[StoredRow], self._reading().execute(_PAGE, (name, 0, 1), binary=True).fetchall()
            )
            last = cast(list[StoredRow], self._reading().execute(_LAST, (name,), binary=True).fetchall())
        return Page(genesis(run_id), first if first == last else first + last)

    def run_ids(self) -> list[str]:
        with typed_errors():
            return [bytes(name).decode() for (name,) in self._reading().execute(_RUN_IDS).fetchall()]

    def epochs(self) -> dict[str, int]:
        with typed_errors():
            found = self._reading().execute("SELECT run_id, epoch FROM agentfield_journal.runs").fetchall()
        return {bytes(name).decode(): epoch for name, epoch in found}

    def integrity_problems(self) -> list[str]:
        return []

    def changes(self) -> int:
        with typed_errors():
            found = self._reading().execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        return cast(int, found[0]) if found else 0

    def close(self) -> None:
        with suppress(JournalUnavailable):
            self.release(self.leases.all())
        if self._line is not None:
            self._line.close()
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()


def _connect(url: str) -> psycopg.Connection:
    connection = psycopg.connect(url, autocommit=True, connect_timeout=5, options=_SESSION)
    connection.prepare_threshold = 0
    return connection
