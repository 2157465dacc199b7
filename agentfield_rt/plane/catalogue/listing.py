"""Lists of the catalogue: what may be asked of each, and how far anybody may leaf."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Generic

from agentfield_journal.stores.sqlite_connection import SqlValue
from agentfield_rt.plane.catalogue.projection import Projection
from agentfield_rt.plane.catalogue.rows import ExecutionRow, Page, RowT, RunRow, SessionRow
from agentfield_rt.plane.errors import BadRequest

LIMIT_MAX = 500
OFFSET_MAX = 100_000
COUNTED_MAX = 100_000
"""How far the rows of a list are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What rows must match; None matches all.

    Attributes:
        owner: Of sessions, those that were started with this API key or with none, and what belongs to none.
        since_ns: Began at this time or later.
        live: Whether it has not ended.
    """

    run_id: str | None = None
    execution_id: str | None = None
    parent_execution_id: str | None = None
    session_id: str | None = None
    actor_id: str | None = None
    node_id: str | None = None
    target: str | None = None
    owner: str | None = None
    status: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    live: bool | None = None

    def given(self) -> dict[str, SqlValue]:
        """Those that are not None."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in values if value is not None}


ALL = Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[RowT]):
    """A table as a list, newest first.

    Attributes:
        conditions: SQL for each filter that makes sense here, with the filter's name as its parameter.
        always: A condition that every row of the list meets.
    """

    row: type[RowT]
    table: str
    order: str
    conditions: Mapping[str, str]
    always: str = "1"

    def where(self, filters: Filters) -> str:
        """The condition for `filters`.

        Raises:
            BadRequest: one of them says nothing about these rows.
        """
        given = filters.given()
        if strange := given.keys() - self.conditions.keys():
            raise BadRequest(f"{self.table} cannot be filtered by {', '.join(sorted(strange))}")
        return " AND ".join((self.always, *(self.conditions[name] for name in given)))

    def page(self, db: Projection, filters: Filters, *, limit: int, offset: int = 0) -> Page[RowT]:
        """At most `limit` rows after the first `offset`; both are cut to what is allowed."""
        where, values = self.where(filters), filters.given()
        window = {"_limit": min(limit, LIMIT_MAX), "_offset": min(offset, OFFSET_MAX)}
        clause = f"{self.table} WHERE {where} ORDER BY {self.order} LIMIT :_limit OFFSET :_offset"
        rows = db.select(self.row, clause, values | window)
        counted = f"SELECT count(*) FROM (SELECT 1 FROM {self.table} WHERE {where} LIMIT {COUNTED_MAX})"
        return Page(tuple(rows), db.number(counted, values))


OF_WORKFLOW = "(run_id = :run_id OR (run_id > :run_id || '~' AND run_id < :run_id || char(127)))"
"""What is in a run, and in those in which its workflow went on after its end (`further_run_id`)."""

_NOT_OF_ANOTHER = """
coalesce(session_id, '') NOT IN (SELECT session_id FROM sessions WHERE owner IS NOT NULL AND owner <> :owner)
"""
"""What belongs to no session, or to one that this key may know of."""

EXECUTIONS = Listing(
    row=ExecutionRow,
    table="executions",
    order="queued_at_ns DESC, execution_id",
    conditions={
        "run_id": OF_WORKFLOW,
        "execution_id": "execution_id = :execution_id",
        "parent_execution_id": "parent_execution_id = :parent_execution_id",
        "session_id": "session_id = :session_id",
        "actor_id": "actor_id = :actor_id",
        "node_id": "node_id = :node_id",
        "target": "node_id || '.' || name = :target",
        "owner": _NOT_OF_ANOTHER,
        "status": "status = :status",
        "since_ns": "queued_at_ns >= :since_ns",
        "until_ns": "queued_at_ns <= :until_ns",
        "live": "(ended_at_ns IS NULL) = :live",
    },
)

SESSIONS = Listing(
    row=SessionRow,
    table="sessions",
    order="started_at_ns DESC, session_id",
    conditions={
        "run_id": "run_id = :run_id",
        "session_id": "session_id = :session_id",
        "node_id": "substr(target, 1, instr(target, '.') - 1) = :node_id",
        "target": "target = :target",
        "owner": "(owner IS NULL OR owner = :owner)",
        "since_ns": "started_at_ns >= :since_ns",
        "until_ns": "started_at_ns <= :until_ns",
        "live": "(ended_at_ns IS NULL) = :live",
    },
)

_IN_EXECUTIONS = "run_id IN (SELECT run_id FROM executions WHERE"
RUNS = Listing(
    row=RunRow,
    table="runs",
    order="started_at_ns DESC, run_id",
    conditions={
        "run_id": "run_id = :run_id",
        # A session that was never started here has executions all the same, each in a run of its own.
        "session_id": f"(session_id = :session_id OR {_IN_EXECUTIONS} session_id = :session_id))",
        "actor_id": f"{_IN_EXECUTIONS} actor_id = :actor_id)",
        "node_id": f"{_IN_EXECUTIONS} node_id = :node_id)",
        "owner": _NOT_OF_ANOTHER,
        "status": "status = :status",
        "since_ns": "started_at_ns >= :since_ns",
        "until_ns": "started_at_ns <= :until_ns",
        "live": "(ended_at_ns IS NULL) = :live",
    },
    # Registrations of nodes and the like have runs, too.
    always="(session_id IS NOT NULL OR EXISTS (SELECT 1 FROM executions AS e WHERE e.run_id = runs.run_id))",
)
