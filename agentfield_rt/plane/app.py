"""The HTTP face of a control plane: a FastAPI application over it, page included."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from agentfield_journal import JournalError
from agentfield_rt import __version__
from agentfield_rt.agent import Agent
from agentfield_rt.config import Settings
from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane import approvals
from agentfield_rt.plane.access import ApiKeys
from agentfield_rt.plane.access.guard import AccessGuard
from agentfield_rt.plane.calls import recording_routes as http_recordings
from agentfield_rt.plane.channel import endpoint as channel
from agentfield_rt.plane.control_plane import open_control_plane
from agentfield_rt.plane.executions import asking_routes as http_asking
from agentfield_rt.plane.executions import control_routes as http_executions
from agentfield_rt.plane.executions import report_routes as http_reports
from agentfield_rt.plane.executions import routes as http_execute
from agentfield_rt.plane.executions import told_routes as http_told
from agentfield_rt.plane.http.guards import BodyLimit, BodySizes, OwnNames, SameOrigin, SecurityHeaders
from agentfield_rt.plane.http.openapi import describe
from agentfield_rt.plane.http.refusals import refusal_of
from agentfield_rt.plane.http.short_way import ShortWay
from agentfield_rt.plane.memory import event_routes as http_memory_events
from agentfield_rt.plane.memory import routes as http_memory
from agentfield_rt.plane.mounting import Unopened
from agentfield_rt.plane.nodes import discovery_routes as http_discovery
from agentfield_rt.plane.nodes import routes as http_nodes
from agentfield_rt.plane.operation import http_operation
from agentfield_rt.plane.operation.requests import Requests
from agentfield_rt.plane.page import Page, allowed_methods
from agentfield_rt.plane.sessions import conversation_routes as http_conversations
from agentfield_rt.plane.sessions import offer_routes as http_offers
from agentfield_rt.plane.sessions import record_routes as http_session_records
from agentfield_rt.plane.sessions import routes as http_sessions
from agentfield_rt.plane.telephony import phone_routes as http_phone
from agentfield_rt.plane.telephony.routes import telephony_router
from agentfield_rt.plane.workflows import routes as http_workflows

_TELEMETRY: TelemetryConfig = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
"""`operation` observes; FastAPI would export addresses with their queries, and the texts of exceptions."""

_PAGE_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-API-Key",
    "traceparent",
    "tracestate",
)
"""What a page of another origin may send, besides what every page may."""

_ROUTERS = (
    http_operation.router,
    http_sessions.router,
    http_conversations.router,
    http_session_records.router,
    http_nodes.router,
    http_discovery.router,
    channel.router,
    http_asking.router,  # before the providers' webhooks, below which one of its paths is
    http_phone.router,
    http_executions.router,
    http_recordings.router,
    approvals.router,
    http_memory.router,
    http_memory_events.router,
    http_workflows.router,
    http_told.router,
)
"""Each names its paths whole: what observes a request asks its route for the path."""


def create_app(agents: Sequence[Agent] = (), *, settings: Settings | None = None) -> FastAPI:
    """An application that hosts `agents`. Its lifespan opens and closes the control plane."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with open_control_plane(agents, settings=settings) as plane:
            app.state.plane = plane
            yield

    sizes = BodySizes(settings.work_bytes_max)
    hot = (*http_execute.HOT, *http_reports.HOT, *http_nodes.HOT)
    app = FastAPI(title="AgentField RT", version=__version__, lifespan=lifespan, telemetry=_TELEMETRY)
    app.state.plane = Unopened()
    app.add_middleware(AccessGuard, keys=ApiKeys(settings.api_keys), approver_key=settings.approver_key)
    app.add_middleware(OwnNames, names=settings.names, public_name=settings.public_name)
    app.add_middleware(BodyLimit, sizes=sizes)
    app.add_middleware(SameOrigin, others=settings.cors_origins)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,  # asks for no key: a browser's question whether it may has none
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=_PAGE_HEADERS,
            max_age=600,
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Requests)
    app.add_middleware(
        ShortWay,
        routes=hot,
        own_names=OwnNames(app, names=settings.names, public_name=settings.public_name),
        guard=AccessGuard(app, keys=ApiKeys(settings.api_keys), approver_key=settings.approver_key),
        sizes=sizes,
    )
    app.add_exception_handler(RealtimeError, _refuse)
    app.add_exception_handler(JournalError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    app.add_exception_handler(HTTPException, _refuse_plainly)
    for router in (*_ROUTERS, telephony_router(settings)):
        app.include_router(router)

    # Before all others: they are asked for most.
    app.router.routes[:0] = [*(each.route() for each in hot), *http_offers.offer_routes()]
    describe(app, [*(each.operation for each in hot), *http_offers.OPERATIONS])

    app.router.routes.append(Page())
    return app


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    refusal = refusal_of(error)
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _refuse_body(request: Request, error: Exception) -> JSONResponse:
    """Which part of the body is wrong; never what stood there."""
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
    )
    return JSONResponse({"error": f"invalid request: {problems}"}, 400)


async def _refuse_plainly(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        headers["Allow"] = allowed_methods(request.app, path) or headers.get("Allow", "GET, HEAD")
    return JSONResponse({"error": error.detail}, error.status_code, headers=headers)
