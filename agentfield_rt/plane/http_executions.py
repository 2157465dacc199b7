"""Execution and workflow routes, in AgentField's shapes."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.plane.dag import workflow_dag
from agentfield_rt.plane.dependencies import Plane, WorkflowHeaders
from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.notation import iso, run_id_of
from agentfield_rt.voice.link import ExecutionRequest

router = APIRouter(tags=["executions"])
workflows = APIRouter(tags=["workflows"])


class ExecuteBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input: dict[str, Any] = Field(default_factory=dict[str, Any])


class Filters(BaseModel):
    model_config = ConfigDict(extra="ignore")

    session_id: str | None = None


class QueryBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    resource: str = "workflows"
    filters: Filters = Field(default_factory=Filters)
    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0)


@router.post("/execute/async/{target}", status_code=202)
async def execute_async(
    target: str, body: ExecuteBody, *, response: Response, plane: Plane, workflow: WorkflowHeaders
) -> dict[str, Any]:
    """Accept an execution; it is durable when this answers."""
    execution = await plane.executions.submit(
        ExecutionRequest(
            target=target,
            arguments=body.input,
            run_id=workflow.run_id,
            session_id=workflow.session_id,
            parent_execution_id=workflow.parent_execution_id,
        )
    )
    response.headers["X-Execution-ID"] = execution.execution_id
    response.headers["X-Run-ID"] = execution.run_id
    return accepted(execution)


def accepted(execution: Execution) -> dict[str, Any]:
    """The 202 body."""
    return {
        "execution_id": execution.execution_id,
        "run_id": execution.run_id,
        "workflow_id": execution.run_id,
        "status": "queued",
        "target": execution.request.target,
        "type": "reasoner",
        "created_at": iso(execution.created_at),
        "webhook_registered": False,
    }


@router.get("/executions/{execution_id}")
async def execution_status(execution_id: str, plane: Plane) -> dict[str, Any]:
    """Where an execution stands, and its result; that it is over is durable when this answers."""
    execution = plane.executions.get(execution_id)
    await execution.told()
    view: dict[str, Any] = {
        "execution_id": execution.execution_id,
        "run_id": execution.run_id,
        "status": execution.status,
        "started_at": iso(execution.started_at or execution.created_at),
        "webhook_registered": False,
    }
    if execution.completed_at is not None:
        view["completed_at"] = iso(execution.completed_at)
        view["duration_ms"] = int((execution.completed_at - (execution.started_at or 0)) * 1000)
        view["result"] = execution.result
    if execution.reason is not None:
        view["status_reason"] = execution.reason
        view["error"] = execution.error or str(execution.reason)
    return view


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
