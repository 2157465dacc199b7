"""Routes of whoever operates the server: is it alive, does it take work, what has it measured."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.http.dependencies import Plane
from agentfield_rt.plane.operation.readiness import RETRY_AFTER_S, readiness

router = APIRouter(tags=["operation"])


class Alive(BaseModel):
    """The process runs and answers; whether it takes work, `/ready` says."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether this server takes work.

    Attributes:
        parts: What each part says: `ok`, or what keeps it from its work.
    """

    ready: bool
    parts: dict[str, str]


@router.get("/health")
async def health() -> Alive:
    """Answers as long as the process does. Restart it when this does not answer."""
    return Alive()


@router.get("/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(plane: Plane) -> JSONResponse:
    """Send work here when this is 200. When it is 503, `parts` says what is wrong."""
    found = await readiness(plane.checks)
    body = Ready(ready=found.is_ready, parts=dict(found.parts)).model_dump()
    if found.is_ready:
        return JSONResponse(body)
    return JSONResponse(body, 503, headers={"Retry-After": str(RETRY_AFTER_S)})


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, plane: Plane) -> Response:
    """What was measured, for Prometheus: its text format, or OpenMetrics for whoever asks for it."""
    exposed = plane.telemetry.expose(request.headers.get("accept", ""))
    if exposed is None:
        raise NotFound("no metrics here: AGENTFIELD_RT_METRICS is false, or prometheus-client is missing")
    body, media_type = exposed
    return Response(body, media_type=media_type)
