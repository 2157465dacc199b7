"""AgentField's one query for everything: runs, executions, agents, workflows, sessions and events."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.plane.catalogue import listing
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.catalogue.listing import EXECUTIONS, OFFSET_MAX, RUNS, SESSIONS, Filters
from agentfield_rt.plane.catalogue.rows import ExecutionRow, RunRow, SessionRow
from agentfield_rt.plane.errors import BadRequest, PlaneError
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.notation import iso_ns, workflow_id_of
from agentfield_rt.plane.workflows.dag import duration_ms
from agentfield_rt.plane.workflows.workflows import Workflows

LIMIT_MAX = 100
_LIMIT = 20
_OF_EXECUTIONS = (*ExecutionStatus, "waiting")
_OF_RUNS = ("open", "completed", "failed", "cancelled")
_STATUSES: Mapping[str, Sequence[str]] = MappingProxyType(
    {"executions": _OF_EXECUTIONS, "events": _OF_EXECUTIONS, "runs": _OF_RUNS, "workflows": _OF_RUNS}
)
"""By what rows can be filtered; a run's is what its last record says, its `outcome`."""

_AT_NS_MAX = 2**63 - 1  # the year 2262
WORD_CHARS_MAX = 256


class QueryFilters(BaseModel):
    """AgentField's filters; an empty one counts as none."""

    model_config = ConfigDict(extra="ignore")

    status: str | None = Field(default=None, max_length=WORD_CHARS_MAX)
    agent_id: str | None = Field(default=None, max_length=WORD_CHARS_MAX)
    run_id: str | None = Field(default=None, max_length=WORD_CHARS_MAX)
    execution_id: str | None = Field(default=None, max_length=WORD_CHARS_MAX)
    session_id: str | None = Field(default=None, max_length=WORD_CHARS_MAX)
    actor_id: str | None = Field(default=None, max_length=WORD_CHARS_MAX)
    since: str | None = Field(default=None, max_length=WORD_CHARS_MAX)
    until: str | None = Field(default=None, max_length=WORD_CHARS_MAX)


class Query(BaseModel):
    """The body. A limit that is none, or too large, is AgentField's 20."""

    model_config = ConfigDict(extra="ignore")

    resource: str = Field(max_length=WORD_CHARS_MAX)
    filters: QueryFilters = Field(default_factory=QueryFilters)
    limit: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A page of whatever was asked for."""

    results: list[Any]
    total: int


class QueryRefused(PlaneError):
    """It cannot be answered; `code` says so to programs, in AgentField's words where it has one."""

    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AgenticQuery:
    """Answers queries from the catalogue.

    Args:
        agents: What is known of all agents, as rows.
    """

    def __init__(
        self, catalogue: Catalogue, workflows: Workflows, agents: Callable[[], list[dict[str, Any]]]
    ) -> None:
        self._catalogue = catalogue
        self._workflows = workflows
        self._agents = agents
        self._resources: Mapping[str, Callable[[Filters, int, int], Awaitable[Found]]] = MappingProxyType(
            {
                "runs": self._runs,
                "executions": self._executions,
                "agents": self._all_agents,
                "workflows": self._all_workflows,
                "sessions": self._sessions,
                "events": self._events,
            }
        )

    async def answer(self, query: Query, *, owner: str | None = None) -> dict[str, Any]:
        """The `data` of the answer.

        Args:
            owner: The API key of whoever asks: what is of another key's sessions is left out.

        Raises:
            QueryRefused: there is no such resource, or a filter says nothing about it.
            Busy: the catalogue is behind.
        """
        ask = self._resources.get(query.resource)
        if ask is None:
            raise QueryRefused("invalid_resource", f"resource must be one of: {', '.join(self._resources)}")
        limit = query.limit if 0 < query.limit <= LIMIT_MAX else _LIMIT
        offset = min(max(query.offset, 0), OFFSET_MAX)
        try:
            _check_status(query.resource, query.filters.status)
            found = await ask(_filters(query.filters, owner), limit, offset)
        except BadRequest as error:
            raise QueryRefused("unsupported_filter", str(error)) from error
        page = {"total": found.total, "limit": limit, "offset": offset}
        return {"resource": query.resource, "results": found.results, **page}

    async def _runs(self, filters: Filters, limit: int, offset: int) -> Found:
        page = await self._catalogue.page(RUNS, filters, limit=limit, offset=offset)
        rows = await self._workflows.rows(page.rows)
        return Found([_run(run, row) for run, row in zip(page.rows, rows, strict=True)], page.total)

    async def _all_workflows(self, filters: Filters, limit: int, offset: int) -> Found:
        page = await self._catalogue.page(RUNS, filters, limit=limit, offset=offset)
        return Found(await self._workflows.rows(page.rows), page.total)

    async def _executions(self, filters: Filters, limit: int, offset: int) -> Found:
        page = await self._catalogue.page(EXECUTIONS, filters, limit=limit, offset=offset)
        return Found([execution_view(row) for row in page.rows], page.total)

    async def _sessions(self, filters: Filters, limit: int, offset: int) -> Found:
        page = await self._catalogue.page(SESSIONS, filters, limit=limit, offset=offset)
        return Found([session_view(row) for row in page.rows], page.total)

    async def _all_agents(self, filters: Filters, limit: int, offset: int) -> Found:
        if strange := filters.given().keys() - {"node_id", "owner"}:
            raise BadRequest(f"agents cannot be filtered by {', '.join(sorted(strange))}")
        agents = [each for each in self._agents() if filters.node_id in (None, each["id"])]
        return Found(agents[offset : offset + limit], len(agents))

    async def _events(self, filters: Filters, limit: int, offset: int) -> Found:
        """When executions began and ended, in the order of time; of a long run, its latest executions."""
        if filters.execution_id is None and filters.run_id is None:
            raise QueryRefused(
                "missing_filter", "events queries require filters.execution_id or filters.run_id"
            )
        page = await self._catalogue.page(EXECUTIONS, filters, limit=listing.LIMIT_MAX, offset=0)
        events = sorted((event for row in page.rows for event in _events_of(row)), key=lambda e: e[0])
        return Found([event for _, event in events[offset : offset + limit]], len(events))


def _check_status(resource: str, status: str | None) -> None:
    """Refuse a word that no row has: the answer would be an empty list.

    Raises:
        BadRequest: it is none; the text has those that there are.
    """
    words = _STATUSES.get(resource)
    if status and words is not None and status not in words:
        raise BadRequest(f"filters.status of {resource} must be one of: {', '.join(words)}")


def _filters(given: QueryFilters, owner: str | None) -> Filters:
    return Filters(
        owner=owner,
        status=given.status or None,
        node_id=given.agent_id or None,
        run_id=given.run_id or None,
        execution_id=(given.execution_id or "").strip() or None,
        session_id=given.session_id or None,
        actor_id=given.actor_id or None,
        since_ns=_time_ns("since", given.since),
        until_ns=_time_ns("until", given.until),
    )


def _time_ns(name: str, text: str | None) -> int | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        at_ns = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
        return min(max(at_ns, 0), _AT_NS_MAX)
    except (ValueError, OverflowError) as error:
        raise QueryRefused(
            "invalid_request", f"filters.{name} is no time as in RFC 3339, such as 2026-01-31T12:00:00Z"
        ) from error


def execution_view(row: ExecutionRow) -> dict[str, Any]:
    """An execution as AgentField's record of one, with references where that has what was said."""
    return {
        "execution_id": row.execution_id,
        "run_id": workflow_id_of(row.run_id),
        "parent_execution_id": row.parent_execution_id,
        "agent_node_id": row.node_id,
        "node_id": row.node_id,
        "reasoner_id": row.name,
        "status": row.status,
        "status_reason": row.reason,
        "started_at": iso_ns(row.started_at_ns or row.queued_at_ns),
        "completed_at": iso_ns(row.ended_at_ns),
        "duration_ms": duration_ms(row.started_at_ns or row.queued_at_ns, row.ended_at_ns),
        "session_id": row.session_id,
        "actor_id": row.actor_id,
        "input_uri": row.input_ref,
        "result_uri": row.result_ref,
        "created_at": iso_ns(row.queued_at_ns),
        "updated_at": iso_ns(row.ended_at_ns or row.started_at_ns or row.queued_at_ns),
    }


def session_view(row: SessionRow) -> dict[str, Any]:
    """A session as one row of a list."""
    return {
        "session_id": row.session_id,
        "run_id": row.run_id,
        "target": row.target,
        "provider": row.provider,
        "transport": row.transport,
        "model": row.model,
        "voice": row.voice,
        "modalities": row.modalities,
        "tags": row.tags,
        "owner": row.owner,
        "status": "live" if row.ended_at_ns is None else "ended",
        "close_reason": row.close_reason,
        "created_at": iso_ns(row.started_at_ns),
        "ended_at": iso_ns(row.ended_at_ns),
        "duration_ms": duration_ms(row.started_at_ns, row.ended_at_ns),
    }


def _run(run: RunRow, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "session_id": row["session_id"],
        "actor_id": row["actor_id"],
        "display_name": row["workflow_name"],
        "status": row["status"],
        "outcome": run.status,
        "reason": run.reason,
        "total_executions": row["total_executions"],
        "max_depth": row["depth"],
        "started_at": row["started_at"],
        "latest_activity": row["updated_at"],
        "completed_at": row["completed_at"],
        "duration_ms": row["total_duration_ms"],
    }


def _events_of(row: ExecutionRow) -> list[tuple[int, dict[str, Any]]]:
    workflow_id = workflow_id_of(row.run_id)
    about = {"execution_id": row.execution_id, "workflow_id": workflow_id, "run_id": workflow_id}
    times = [("execution_created", "queued", row.queued_at_ns)]
    if row.started_at_ns is not None:
        times.append(("execution_started", "running", row.started_at_ns))
    if row.ended_at_ns is not None:
        word = "execution_completed" if row.status == "succeeded" else "execution_failed"
        times.append((word, row.status, row.ended_at_ns))
    return [
        (at_ns, {**about, "event_type": word, "status": status, "emitted_at": iso_ns(at_ns)})
        for word, status, at_ns in times
    ]
