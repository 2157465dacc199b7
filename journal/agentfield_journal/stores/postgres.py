"""Records in PostgreSQL: one transaction per group, epochs checked inside it. Needs the extra `postgres`.

Several processes may share one database; each run still has one writer.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import LiteralString, cast

import psycopg

from agentfield_journal.codec import genesis
from agentfield_journal.envelope import FORMAT_VERSION
from agentfield_journal.errors import JournalConflict, JournalFull, JournalUnavailable, UnknownVersion
from agentfield_journal.stores.port import Batch, Claim, Page, StoredRow
from agentfield_journal.stores.postgres_arrays import BigintArray, ByteaArray, register

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
# A function, because a group is then one statement and one round trip, and yet looks at the epochs
# after it has the lock. It returns the runs whose epoch is stale and stores the records of the others.
_APPEND_FUNCTION: LiteralString = """
CREATE OR REPLACE FUNCTION agentfield_journal.append(
    writer_runs bigint[], epochs bigint[], runs bigint[], seqs bigint[], bodies bytea[], hashes bytea[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    stale bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1095125553);
    SELECT array_agg(w.run) INTO stale FROM unnest(writer_runs, epochs) AS w (run, epoch)
        LEFT JOIN agentfield_journal.runs AS r ON r.run = w.run AND r.epoch = w.epoch WHERE r.run IS NULL;
    INSERT INTO agentfield_journal.records (run, seq, body, hash)
        SELECT * FROM unnest(runs, seqs, bodies, hashes) AS d (run, seq, body, hash)
        WHERE stale IS NULL OR d.run <> ALL (stale);
    RETURN stale;
END $$
"""
_APPEND: LiteralString = (
    "SELECT agentfield_journal.append"
    "(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[])"
)
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

    Raises:
        JournalUnavailable: the server cannot be reached, or does not sync what it commits.
        UnknownVersion: a newer version of this package wrote there.
    """

    blocking = True
    shared = True
    full = False

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._url = url
        self._read_only = read_only
        self._reader: psycopg.Connection | None = None
        with _typed_errors():
            self._writer = _connect(url)
            try:
                if not read_only:
                    self._create()
                self._check()
            except BaseException:
                self._writer.close()
                raise

    def _create(self) -> None:
        with self._writer.transaction():
            self._writer.execute(_TAKE_FENCE)
            self._writer.execute(_SCHEMA, prepare=False)
            self._writer.execute(_APPEND_FUNCTION)
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
        with _typed_errors(), self._writer.transaction():
            self._writer.execute(_TAKE_FENCE)
            run, epoch = cast(tuple[int, int], self._writer.execute(_CLAIM, (name,)).fetchone())
            last = cast(StoredRow | None, self._writer.execute(_LAST, (name,)).fetchone())
        seq, digest = (last[0], last[2]) if last else (0, genesis(run_id))
        return Claim(run=run, epoch=epoch, seq=seq, hash=digest)

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        epochs = {batch.rows[0][0]: batch.epoch for batch in batches}
        if any(epochs[batch.rows[0][0]] != batch.epoch for batch in batches):
            # Two epochs of one run in one group: the older ones were queued before a claim.
            stale = [batch for batch in batches if epochs[batch.rows[0][0]] != batch.epoch]
            return stale + self.commit([batch for batch in batches if batch not in stale])
        runs, seqs, bodies, hashes = zip(*(row for batch in batches for row in batch.rows), strict=True)
        group = (
            BigintArray(list(epochs)),
            BigintArray(list(epochs.values())),
            BigintArray(runs),
            BigintArray(seqs),
            ByteaArray(bodies),
            ByteaArray(hashes),
        )
        with _typed_errors():
            answer = self._writer.execute(_APPEND, group, binary=True).fetchone()
        refused = cast(list[int], (answer and answer[0]) or [])
        return [batch for batch in batches if batch.rows[0][0] in refused]

    def tend(self) -> None:
        """The server looks after itself."""

    def _reading(self) -> psycopg.Connection:
        if self._reader is None:
            self._reader = _connect(self._url)
        return self._reader

    def page(self, run_id: str, after: int, limit: int) -> Page:
        with _typed_errors():
            found = (
                self._reading().execute(_PAGE, (run_id.encode(), after, limit + 1), binary=True).fetchall()
            )
        rows = cast(list[StoredRow], found)
        if after > 0 and rows and rows[0][0] == after:
            return Page(rows[0][2], rows[1:])
        return Page(genesis(run_id), rows[:limit])

    def ends(self, run_id: str) -> Page:
        with _typed_errors():
            name = run_id.encode()
            first = cast(
                list[StoredRow], self._reading().execute(_PAGE, (name, 0, 1), binary=True).fetchall()
            )
            last = cast(list[StoredRow], self._reading().execute(_LAST, (name,), binary=True).fetchall())
        return Page(genesis(run_id), first if first == last else first + last)

    def run_ids(self) -> list[str]:
        with _typed_errors():
            return [bytes(name).decode() for (name,) in self._reading().execute(_RUN_IDS).fetchall()]

    def integrity_problems(self) -> list[str]:
        return []

    def changes(self) -> int:
        with _typed_errors():
            found = self._reading().execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        return cast(int, found[0]) if found else 0

    def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()


def _connect(url: str) -> psycopg.Connection:
    connection = psycopg.connect(url, autocommit=True, connect_timeout=5, options="-c lock_timeout=5s")
    connection.prepare_threshold = 0
    register(connection)
    return connection


@contextmanager
def _typed_errors() -> Generator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise JournalFull("the server has no room; free some and reopen the journal") from error
    except psycopg.errors.UniqueViolation as error:
        raise JournalConflict("another writer has stored this record; reopen the run and read") from error
    except psycopg.Error as error:
        raise JournalUnavailable(
            f"the server failed: {type(error).__name__}; reopen the journal and read before going on"
        ) from error
