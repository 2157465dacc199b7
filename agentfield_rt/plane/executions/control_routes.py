"""Cancelling and restarting executions, in AgentField's shapes."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.plane.executions.restarting import Restart, Scope
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.plane.executions.views import accepted
from agentfield_rt.plane.http.dependencies import Plane
from agentfield_rt.plane.notation import iso

router = APIRouter(prefix="/api/v1", tags=["executions"])


class CancelBody(BaseModel):
    """Why; it is told to nobody but whoever asks."""

    model_config = ConfigDict(extra="ignore")

    reason: str | None = Field(default=None, max_length=4_000)


class RestartBody(BaseModel):
    """How to run it again; without an input, with the one it had. What runs again is always a run of its own
    that leaves the first as it is, so `fork` changes nothing.
    """

    model_config = ConfigDict(extra="ignore")

    scope: Literal["workflow", "execution"] = "workflow"
    reuse: Literal["succeeded-before", "none"] = "succeeded-before"
    fork: bool = False
    reason: str | None = Field(default=None, max_length=4_000)
    input: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


@router.post("/executions/{execution_id}/cancel")
async def cancel(execution_id: str, plane: Plane, body: CancelBody | None = None) -> dict[str, Any]:
    """End an execution and all that it called; their agents are asked to stop."""
    before = (await plane.executions.get(execution_id)).standing
    execution = await plane.executions.cancel(execution_id)
    return {
        "execution_id": execution.execution_id,
        "run_id": execution.workflow_id,
        "status": execution.status,
        "previous_status": before,
        "reason": None if body is None else body.reason,
        "cancelled_at": iso(execution.completed_at or execution.created_at),
    }


@router.post("/executions/{execution_id}/restart", status_code=202)
async def restart(execution_id: str, plane: Plane, body: RestartBody | None = None) -> dict[str, Any]:
    """Run an execution's workflow again, or it alone, in a run of its own; what succeeded is not repeated."""
    body = body or RestartBody()
    restart = Restart(scope=Scope(body.scope), reuses=body.reuse == "succeeded-before", arguments=body.input)
    execution = await plane.executions.restart(execution_id, restart, extras=Extras(context=body.context))
    return {**accepted(execution), "source_execution_id": execution_id}
