"""Spans of HTTP requests, in which a caller's trace goes on. OpenTelemetry's API only.

Not its own instrumentation for ASGI, nor FastAPI's: they would export addresses, in which callers put keys
and ids, and do not know that a call of an agent belongs to the execution that makes it.
"""

from collections.abc import Callable

from opentelemetry import context as current
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from starlette.types import Scope

_PROBES = frozenset({"/health", "/ready", "/metrics"})
"""Asked every few seconds by whoever watches this server; no trace is about them."""

_PARENT = "x-parent-execution-id"


class RequestSpans:
    """Begins a span for each request.

    Args:
        execution: Finds the span of an execution, by its id: an agent that traces nothing names its own.
    """

    def __init__(self, tracer: Tracer, execution: Callable[[str], Span | None]) -> None:
        self._tracer = tracer
        self._execution = execution

    def begin(self, scope: Scope, *, method: str, request_id: str) -> "RequestSpan | None":
        """A span that is current from now on, for a request that gets one."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            return None
        span = self._tracer.start_span(
            method,
            context=self._above(scope),
            kind=SpanKind.SERVER,
            attributes={"url.scheme": scope["scheme"], "agentfield.request.id": request_id},
        )
        return RequestSpan(span)

    def _above(self, scope: Scope) -> Context:
        """What the request is part of: what our host traces, what its caller does, the execution it names."""
        here = current.get_current()
        if trace.get_current_span(here).get_span_context().is_valid:
            return here
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = propagate.extract(headers, Context())
        if trace.get_current_span(given).get_span_context().is_valid:
            return given
        caller = self._execution(headers.get(_PARENT, ""))
        return given if caller is None else trace.set_span_in_context(caller, given)


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = current.attach(trace.set_span_in_context(span))

    def end(self, *, method: str, route: str, status: int) -> None:
        """End it, named by its route as declared: a path has ids, and anybody can make paths up."""
        current.detach(self._token)
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        )
        if status >= 500:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
