"""Groups on their way to PostgreSQL: several on one connection, answered in order, sent from the event loop.

While the server syncs one group, the event loop prepares the next. Knows neither claims nor reads.
"""

import asyncio
import select
from collections import deque
from concurrent.futures import Future
from typing import LiteralString

from psycopg import Connection, OperationalError
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from agentfield_journal.stores.port import Answer, Batch
from agentfield_journal.stores.postgres_arrays import bigint_array, bytea_array
from agentfield_journal.stores.postgres_errors import typed_errors

# A function, because a group is then one statement and one round trip, and yet looks at the epochs
# after it has the lock. It returns the runs whose epoch is stale and stores the records of the others.
# Groups are numbered: what was sent behind a group that failed must fail too, or a run would have a gap.
# The number of the last one is a setting of the connection, which a transaction that fails takes back.
APPEND_FUNCTION: LiteralString = """
CREATE OR REPLACE FUNCTION agentfield_journal.append_group(
    number bigint,
    writer_runs bigint[], epochs bigint[], runs bigint[], seqs bigint[], bodies bytea[], hashes bytea[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    stale bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1095125553);
    IF current_setting('agentfield_journal.group') <> (number - 1)::text THEN
        RAISE EXCEPTION 'the group before this one was not stored';
    END IF;
    PERFORM set_config('agentfield_journal.group', number::text, false);
    SELECT array_agg(w.run) INTO stale FROM unnest(writer_runs, epochs) AS w (run, epoch)
        WHERE w.epoch IS DISTINCT FROM (SELECT r.epoch FROM agentfield_journal.runs AS r WHERE r.run = w.run);
    INSERT INTO agentfield_journal.records (run, seq, body, hash)
        SELECT * FROM unnest(runs, seqs, bodies, hashes) AS d (run, seq, body, hash)
        WHERE stale IS NULL OR d.run <> ALL (stale);
    RETURN stale;
END $$
"""
# A plan made while there are few runs must not read all of them when there are many.
_SETTINGS: LiteralString = (
    "SELECT set_config('agentfield_journal.group', '0', false), set_config('enable_seqscan', 'off', false),"
    " set_config('default_transaction_isolation', 'read committed', false)"
)
_APPEND = b"SELECT agentfield_journal.append_group($1, $2, $3, $4, $5, $6, $7)"
_STATEMENT = b"append_group"
_PARAMETERS = [Format.BINARY] * 7


class PostgresLine:
    """Sends groups and hands their answers over, in order.

    Args:
        connection: Used for nothing else from now on, and closed with this.
    """

    def __init__(self, connection: Connection) -> None:
        connection.execute(_SETTINGS)
        self._connection = connection
        self._server = connection.pgconn
        prepared = self._server.prepare(_STATEMENT, _APPEND)
        if prepared.status != ExecStatus.COMMAND_OK:
            raise error_from_result(prepared)
        self._server.nonblocking = 1
        self._server.enter_pipeline_mode()
        self._socket = self._server.socket
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent = 0
        self._waiting: deque[tuple[list[Batch], list[Batch], Answer]] = deque()
        self._result: PGresult | None = None

    def start(self) -> None:
        """From now on answers are handed over by the event loop that is running."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._receive)

    def commit(self, batches: list[Batch]) -> list[Batch]:
        """Send a group and wait for its answer. Never called on the event loop that hands answers over."""
        answers: list[list[Batch] | Exception] = []
        if self._loop is not None:
            answered = Future[list[Batch] | Exception]()
            self._loop.call_soon_threadsafe(self.send, batches, answered.set_result)
            answers.append(answered.result())
        else:
            self.send(batches, answers.append)
        while not answers:
            writable = [self._socket] if self._server.flush() else []
            select.select([self._socket], writable, [])
            self._receive()
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def send(self, batches: list[Batch], answer: Answer, /) -> None:
        """Send a group; `answer` is called with the refused batches, or with what went wrong."""
        epochs = {batch.rows[0][0]: batch.epoch for batch in batches}
        older: list[Batch] = []
        if any(epochs[batch.rows[0][0]] != batch.epoch for batch in batches):
            # Two epochs of one run in one group: the older ones were queued before a claim.
            older = [batch for batch in batches if epochs[batch.rows[0][0]] != batch.epoch]
            batches = [batch for batch in batches if epochs[batch.rows[0][0]] == batch.epoch]
        runs, seqs, bodies, hashes = zip(*[row for batch in batches for row in batch.rows], strict=True)
        self._sent += 1
        group = (
            self._sent.to_bytes(8, "big"),
            bigint_array(list(epochs)),
            bigint_array(list(epochs.values())),
            bigint_array(runs),
            bigint_array(seqs),
            bytea_array(bodies),
            bytea_array(hashes),
        )
        self._waiting.append((batches, older, answer))
        try:
            with typed_errors():
                self._server.send_query_prepared(_STATEMENT, group, _PARAMETERS, Format.BINARY)
                self._server.pipeline_sync()
                self._flush()
        except Exception as error:
            self._fail(error)

    def _flush(self) -> None:
        unsent = self._server.flush()
        if self._loop is None:
            return
        if unsent:
            self._loop.add_writer(self._socket, self._flush_more)
        else:
            self._loop.remove_writer(self._socket)

    def _flush_more(self) -> None:
        try:
            with typed_errors():
                self._flush()
        except Exception as error:
            self._fail(error)

    def _receive(self) -> None:
        try:
            with typed_errors():
                self._server.consume_input()
                while self._waiting and not self._server.is_busy():
                    self._take(self._server.get_result())
        except Exception as error:
            self._fail(error)

    def _take(self, result: PGresult | None) -> None:
        # Of each group: its result, an end (None), and the mark that its transaction is over.
        if result is None:
            return
        if result.status != ExecStatus.PIPELINE_SYNC:
            self._result = result
            return
        batches, older, answer = self._waiting[0]
        refused = older + _refused(batches, self._result)
        self._result = None
        self._waiting.popleft()
        answer(refused)

    def _fail(self, error: Exception) -> None:
        self.close()
        while self._waiting:
            self._waiting.popleft()[2](error)

    def close(self) -> None:
        """Hand over nothing more. Idempotent."""
        if self._loop is not None:
            # Before the socket's number is another one's. A lost connection is closed already to psycopg.
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._loop = None
        self._connection.close()


def _refused(batches: list[Batch], result: PGresult | None) -> list[Batch]:
    if result is None:
        raise OperationalError("the server ended a transaction without a result")
    if result.status != ExecStatus.TUPLES_OK:
        raise error_from_result(result)
    stale = result.get_value(0, 0)
    if stale is None:
        return []
    # A bigint[]: 20 bytes of header, then each number with its size before it.
    runs = {int.from_bytes(stale[at + 4 : at + 12], "big") for at in range(20, len(stale), 12)}
    return [batch for batch in batches if batch.rows[0][0] in runs]
