"""Cancelling and restarting executions, and workflows, in AgentField's shapes."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.plane.dag import workflow_dag
from agentfield_rt.plane.dependencies import Plane
from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.execution_views import accepted
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.plane.notation import iso, run_id_of

router = APIRouter(tags=["executions"])
workflows = APIRouter(tags=["workflows"])


class CancelBody(BaseModel):
    """Why; it is told to nobody but whoever asks."""

    model_config = ConfigDict(extra="ignore")

    reason: str | None = Field(default=None, max_length=4_000)


class RestartBody(BaseModel):
    """How to run it again; without an input, with the one it had."""

    model_config = ConfigDict(extra="ignore")

    scope: str = "workflow"
    reuse: str = "succeeded-before"
    fork: bool = False
    reason: str | None = Field(default=None, max_length=4_000)
    input: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


class Filters(BaseModel):
    model_config = ConfigDict(extra="ignore")

    session_id: str | None = None


class QueryBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    resource: str = "workflows"
    filters: Filters = Field(default_factory=Filters)
    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0)


@router.post("/executions/{execution_id}/cancel")
async def cancel(execution_id: str, plane: Plane, body: CancelBody | None = None) -> dict[str, Any]:
    """End an execution and all that it called; their agents are asked to stop."""
    before = (await plane.executions.get(execution_id)).status
    execution = await plane.executions.cancel(execution_id)
    return {
        "execution_id": execution.execution_id,
        "run_id": execution.run_id,
        "status": execution.status,
        "previous_status": before,
        "reason": None if body is None else body.reason,
        "cancelled_at": iso(execution.completed_at or execution.created_at),
    }


@router.post("/executions/{execution_id}/restart", status_code=202)
async def restart(execution_id: str, plane: Plane, body: RestartBody | None = None) -> dict[str, Any]:
    """Run an execution again, in a run of its own."""
    body = body or RestartBody()
    extras = Extras(restart_of=execution_id, context=body.context)
    execution = await plane.executions.restart(execution_id, arguments=body.input, extras=extras)
    return {**accepted(execution), "source_execution_id": execution_id}


@workflows.get("/api/ui/v1/workflows/{run_id}/dag")
async def dag(run_id: str, plane: Plane) -> dict[str, Any]:
    """The workflow of a run."""
    found = workflow_dag(run_id, await plane.journal.read(run_id))
    if found is None:
        raise NotFound("workflow not found")
    return found


@router.post("/agentic/query")
async def agentic_query(body: QueryBody, plane: Plane) -> dict[str, Any]:
    """Workflows by session; the body and the answer are AgentField's."""
    if body.resource != "workflows":
        return {
            "ok": False,
            "error": {"code": "unknown_resource", "message": "resource must be workflows"},
        }
    results: list[dict[str, Any]] = []
    session_id = body.filters.session_id
    run_ids = [run_id_of(session_id)] if session_id else [head.run_id for head in await plane.journal.heads()]
    for run_id in run_ids[body.offset : body.offset + body.limit]:
        if (found := workflow_dag(run_id, await plane.journal.read(run_id))) is not None:
            results.append(_workflow_row(found))
    data = {
        "resource": "workflows",
        "results": results,
        "total": len(results) if session_id else len(run_ids),
        "limit": body.limit,
        "offset": body.offset,
    }
    return {"ok": True, "data": data}


def _workflow_row(found: dict[str, Any]) -> dict[str, Any]:
    statuses = [node["status"] for node in found["timeline"]]
    return {
        "workflow_id": found["root_workflow_id"],
        "workflow_name": found["workflow_name"],
        "session_id": found["session_id"],
        "status": found["workflow_status"],
        "depth": found["max_depth"],
        "total_executions": len(statuses),
        "successful_executions": statuses.count("succeeded"),
        "failed_executions": statuses.count("failed"),
        "started_at": found["dag"]["started_at"],
        "completed_at": found["dag"]["completed_at"],
        "total_duration_ms": found["dag"]["duration_ms"],
    }
