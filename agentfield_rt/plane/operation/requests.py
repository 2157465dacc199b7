"""What every request gets: an id, a line in the log, a measurement, a span, an answer when it meets a bug."""

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentfield_journal.drawing import drawn_hex
from agentfield_rt.logs import REQUEST_ID
from agentfield_rt.plane.operation.instruments import OTHER, REQUESTS

if TYPE_CHECKING:
    from agentfield_rt.plane.operation.telemetry import Telemetry

log = logging.getLogger("agentfield_rt.requests")

REQUEST_ID_HEADER = "X-Request-ID"
_RAW_NAME = REQUEST_ID_HEADER.lower().encode()
_GIVEN = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_INTERNAL = "internal error; the server's log says more"


class Requests:
    """The outermost of the middleware.

    A caller's own `X-Request-ID` is kept if it is one (`[A-Za-z0-9_.:-]{1,128}`), so that a request can be
    followed through several servers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = _Request(scope, send)
        token = REQUEST_ID.set(request.request_id)
        try:
            await self._app(scope, receive, request.send)
        except Exception as error:
            if not await request.admit(error, receive):
                raise  # too late for another answer: the connection is cut off
        finally:
            request.finish()
            REQUEST_ID.reset(token)


class _Request:
    """One request, from its headers to the end of its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        self.request_id = given if _GIVEN.fullmatch(given) else f"req_{drawn_hex(12)}"
        self._scope = scope
        self._send = send
        self._began_s = time.perf_counter()
        self._status: int | None = None
        method = scope.get("method", "WEBSOCKET")
        self._method = method if method in _METHODS or method == "WEBSOCKET" else OTHER
        self._telemetry = _telemetry(scope)
        spans = None if self._telemetry is None else self._telemetry.request_spans
        self._span = (
            None if spans is None else spans.begin(scope, method=self._method, request_id=self.request_id)
        )

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer, the first with the request's id."""
        if message["type"] in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
            self._status = message.get("status", 101)
            raw = [header for header in message.get("headers", ()) if header[0].lower() != _RAW_NAME]
            message["headers"] = [*raw, (_RAW_NAME, self.request_id.encode())]
        await self._send(message)

    async def admit(self, error: Exception, receive: Receive) -> bool:
        """Answer a request that met an error nobody foresaw; False if it has had an answer, or wants none."""
        log.error("a request failed: %s", type(error).__name__, exc_info=error, extra=self._told())
        if self._status is not None or self._scope["type"] != "http":
            return False
        await JSONResponse({"error": _INTERNAL}, 500)(self._scope, receive, self.send)
        return True

    def finish(self) -> None:
        """Log and measure it."""
        took_s = time.perf_counter() - self._began_s
        told = self._told()
        if log.isEnabledFor(logging.INFO):
            log.info("request", extra=told | {"duration_ms": round(took_s * 1000, 1)})
        if self._telemetry is not None and self._scope["type"] == "http":
            labels = told["method"], told["route"], str(told["status"])
            self._telemetry.meters.record(REQUESTS, took_s, *labels)
        if self._span is not None:
            self._span.end(method=told["method"], route=told["route"], status=told["status"])

    def _told(self) -> dict[str, Any]:
        return {
            "method": self._method,
            "route": _route(self._scope),
            "status": self._status if self._status is not None else 499,
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
