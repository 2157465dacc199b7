"""Workflows, and AgentField's query for everything, in its shapes; all of it also of the past."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from agentfield_rt.plane.errors import Busy, NotFound
from agentfield_rt.plane.http.dependencies import Asking, Plane, ReadableRun, Recorded
from agentfield_rt.plane.workflows.agentic import Query as AgenticBody
from agentfield_rt.plane.workflows.agentic import QueryRefused

router = APIRouter(tags=["workflows"])


class Problem(BaseModel):
    """Why a query is refused; `code` is for programs."""

    code: str
    message: str


class QueryRefusal(BaseModel):
    """AgentField's form for a query that is refused."""

    ok: bool = False
    error: Problem


def _body_schema() -> dict[str, Any]:
    """The body's, with nothing in it that refers to another place."""
    schema = AgenticBody.model_json_schema()
    schema["properties"]["filters"] = schema.pop("$defs")["QueryFilters"]
    return schema


@router.get("/api/ui/v1/workflows/{run_id}/dag", response_model=dict[str, Any])
async def dag(
    run_id: ReadableRun,
    plane: Plane,
    mode: Annotated[str | None, Query(max_length=64)] = None,
    lightweight: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The workflow of a run. `mode=lightweight`, or `lightweight=true`, leaves the tree and the notes out."""
    light = (mode or "").lower() == "lightweight" or (lightweight or "").lower() in ("true", "1")
    found = await plane.chronicle.workflows.dag(run_id, light=light)
    if found is None:
        raise NotFound("workflow not found")
    return Response(found, media_type="application/json")


@router.get("/api/v1/session-instances/{session_id}/dag", response_model=dict[str, Any])
@router.get("/api/v1/sessions/{session_id}/dag", include_in_schema=False)
async def session_dag(recorded: Recorded, plane: Plane) -> Response:
    """The workflows of a session: `session_id, actor_id, total_workflows, root_workflows, all_workflows`."""
    return Response(
        await plane.chronicle.workflows.of_session(recorded.session_id), media_type="application/json"
    )


@router.post(
    "/api/v1/agentic/query",
    response_model=dict[str, Any],
    responses={400: {"model": QueryRefusal}, 503: {"model": QueryRefusal}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body_schema()}},
        }
    },
)
async def agentic_query(request: Request, plane: Plane, caller: Asking) -> Response:
    """Runs, executions, agents, workflows, sessions or events; the body and the answer are AgentField's."""
    try:
        query = AgenticBody.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        return _refused(400, "invalid_request", f"{where}: {problem['msg']}" if where else problem["msg"])
    try:
        return JSONResponse({"ok": True, "data": await plane.chronicle.query.answer(query, owner=caller.key)})
    except QueryRefused as error:
        return _refused(400, error.code, str(error))
    except Busy as error:
        return _refused(503, "query_failed", str(error))


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse({"ok": False, "error": {"code": code, "message": message}}, status)
