"""What every request gets: an id, a line in the log, a measurement, a span, an answer when it meets a bug."""

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentfield_journal.drawing import drawn_hex
from agentfield_rt.logs import REQUEST_ID
from agentfield_rt.plane.operation.instruments import OTHER, REQUESTS

if TYPE_CHECKING:
    from agentfield_rt.plane.operation.telemetry import Telemetry

log = logging.getLogger("agentfield_rt.requests")

REQUEST_ID_HEADER = "X-Request-ID"
RAW_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()
_GIVEN = re.compile(rb"[\w.:-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_INTERNAL = "internal error; the server's log says more"
_NO_ANSWER = 499


class Requests:
    """The outermost of the framework's middleware; what takes the short way does the same by itself.

    A caller's own `X-Request-ID` is kept if it is one (`[A-Za-z0-9_.:-]{1,128}`), so that a request can be
    followed through several servers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == RAW_REQUEST_ID), b"")
        request = Request(scope, given, _telemetry(scope))

        async def send_named(message: Message) -> None:
            """Pass on a part of the answer, the first with the request's id."""
            if message["type"] in (
                "http.response.start",
                "websocket.accept",
                "websocket.http.response.start",
            ):
                request.status = message.get("status", 101)
                raw = [header for header in message.get("headers", ()) if header[0].lower() != RAW_REQUEST_ID]
                message["headers"] = [*raw, request.header]
            await send(message)

        token = REQUEST_ID.set(request.request_id)
        try:
            await self._app(scope, receive, send_named)
        except Exception as error:
            if not await request.admit(error, receive, send):
                raise  # too late for another answer: the connection is cut off
        finally:
            request.finish()
            REQUEST_ID.reset(token)


class Request:
    """One request, from its headers to the end of its answer.

    Args:
        given: The id that its caller gave it; used if it is one.
        telemetry: Of the plane that is asked; None while it is not open.

    Attributes:
        status: What was answered, once something was.
    """

    __slots__ = ("_began_s", "_method", "_scope", "_span", "_telemetry", "request_id", "status")

    def __init__(self, scope: Scope, given: bytes, telemetry: "Telemetry | None") -> None:
        self.request_id = given.decode() if given and _GIVEN.fullmatch(given) else f"req_{drawn_hex(12)}"
        self.status: int | None = None
        self._scope = scope
        self._began_s = time.perf_counter()
        method: str = scope.get("method", "WEBSOCKET")
        self._method = method if method in _METHODS or method == "WEBSOCKET" else OTHER
        self._telemetry = telemetry
        spans = None if telemetry is None else telemetry.request_spans
        self._span = (
            None if spans is None else spans.begin(scope, method=self._method, request_id=self.request_id)
        )

    @property
    def header(self) -> tuple[bytes, bytes]:
        """Its id, for its answer."""
        return RAW_REQUEST_ID, self.request_id.encode()

    async def admit(self, error: Exception, receive: Receive, send: Send) -> bool:
        """Answer a request that met an error nobody foresaw; False if it has had an answer, or wants none.

        Whoever left within their own request has met no error of ours, and hears no answer.
        """
        if isinstance(error, ClientDisconnect):
            return True
        log.error("a request failed: %s", type(error).__name__, exc_info=error, extra=self._told())
        if self.status is not None or self._scope["type"] != "http":
            return False
        answer = JSONResponse({"error": _INTERNAL}, 500, {REQUEST_ID_HEADER: self.request_id})
        await answer(self._scope, receive, send)
        self.status = 500
        return True

    def finish(self) -> None:
        """Log and measure it."""
        took_s = time.perf_counter() - self._began_s
        if log.isEnabledFor(logging.INFO):
            log.info("request", extra=self._told() | {"duration_ms": round(took_s * 1000, 1)})
        route, status = _route(self._scope), self.status or _NO_ANSWER
        if self._telemetry is not None and self._scope["type"] == "http":
            self._telemetry.meters.record(REQUESTS, took_s, self._method, route, str(status))
        if self._span is not None:
            self._span.end(method=self._method, route=route, status=status)

    def _told(self) -> dict[str, Any]:
        return {
            "method": self._method,
            "route": _route(self._scope),
            "status": self.status or _NO_ANSWER,
        }


def _telemetry(scope: Scope) -> "Telemetry | None":
    """Of the plane that is asked; None while it is not open."""
    plane = getattr(scope["app"].state, "plane", None) if "app" in scope else None
    telemetry: Telemetry | None = getattr(plane, "telemetry", None)
    return telemetry


def _route(scope: Scope) -> str:
    """The route as it is declared, not as it was asked for: a path has ids, and anybody can make paths up."""
    path = getattr(scope.get("route"), "path", None)  # a plain route does not name itself, its endpoint does
    path = path or getattr(scope.get("endpoint"), "path", None)
    if isinstance(path, str) and path:
        return path
    return "/{file}" if "endpoint" in scope else OTHER
