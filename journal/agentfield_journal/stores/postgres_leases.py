"""Leases of runs in PostgreSQL: a row for each run, timed by the server's clock. Extra: `postgres`."""

from collections.abc import Mapping
from typing import LiteralString

import psycopg

from agentfield_journal.errors import RunLeased
from agentfield_journal.stores.leasing import HeldLeases

LEASES_TABLE: LiteralString = (
    "CREATE TABLE IF NOT EXISTS agentfield_journal.leases"
    " (run bigint PRIMARY KEY, epoch bigint NOT NULL, holder text NOT NULL, ends timestamptz NOT NULL)"
)
# `clock_timestamp` is read after the row is locked: a transaction that waited does not judge by its start.
_TAKE: LiteralString = (
    "INSERT INTO agentfield_journal.leases AS l (run, epoch, holder, ends)"
    " VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
    " ON CONFLICT (run) DO UPDATE SET epoch = EXCLUDED.epoch, holder = EXCLUDED.holder, ends = EXCLUDED.ends"
    " WHERE l.holder = EXCLUDED.holder OR l.ends <= clock_timestamp() RETURNING run"
)
_WHO: LiteralString = (
    "SELECT holder, extract(epoch FROM ends)::float8, extract(epoch FROM ends - clock_timestamp())::float8"
    " FROM agentfield_journal.leases WHERE run = %s"
)
_RENEW: LiteralString = (
    "UPDATE agentfield_journal.leases AS l SET ends = clock_timestamp() + make_interval(secs => %s)"
    " FROM unnest(%s::bytea[], %s::bigint[]) AS h (run_id, epoch) JOIN agentfield_journal.runs AS r"
    " ON r.run_id = h.run_id AND r.epoch = h.epoch"
    " WHERE l.run = r.run AND l.epoch = h.epoch AND l.holder = %s RETURNING h.run_id"
)
_RELEASE: LiteralString = (
    "DELETE FROM agentfield_journal.leases AS l USING agentfield_journal.runs AS r,"
    " unnest(%s::bytea[], %s::bigint[]) AS h (run_id, epoch)"
    " WHERE l.run = r.run AND r.run_id = h.run_id AND l.epoch = h.epoch AND l.holder = %s"
)


def take(connection: psycopg.Connection, leases: HeldLeases, run_id: str, *, run: int, epoch: int) -> None:
    """Lease a run, whose number is `run`, inside the transaction that raises its epoch.

    Raises:
        RunLeased: its lease is live at another holder.
    """
    terms = leases.terms
    while connection.execute(_TAKE, (run, epoch, terms.holder, terms.lease_s)).fetchone() is None:
        row = connection.execute(_WHO, (run,)).fetchone()
        if row is not None:  # otherwise it was released at this moment
            holder, ends_s, ends_in_s = row
            raise RunLeased(
                run_id=run_id, holder=holder, ends_at_ns=int(ends_s * 1e9), ends_in_s=max(ends_in_s, 0.0)
            )


def renew(connection: psycopg.Connection, leases: HeldLeases) -> None:
    """Renew all of `leases` in one statement; drop those whose run has another writer."""
    held = leases.all()
    if not held:
        return
    asked_s = leases.clock_s()
    names = [run_id.encode() for run_id in held]
    found = connection.execute(
        _RENEW, (leases.terms.lease_s, names, list(held.values()), leases.terms.holder)
    ).fetchall()
    renewed = {bytes(name).decode() for (name,) in found}
    for run_id, epoch in held.items():
        if run_id in renewed:
            leases.hold(run_id, epoch, asked_s=asked_s)
        else:
            leases.drop(run_id, epoch)


def release(connection: psycopg.Connection, leases: HeldLeases, runs: Mapping[str, int]) -> None:
    """Let others have the runs at once."""
    held = {run_id: epoch for run_id, epoch in runs.items() if leases.drop(run_id, epoch)}
    if held:
        names = [run_id.encode() for run_id in held]
        connection.execute(_RELEASE, (names, list(held.values()), leases.terms.holder))
