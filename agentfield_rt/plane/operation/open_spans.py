"""Spans that have begun and not ended, by what they are of. OpenTelemetry's API only."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer

from agentfield_rt.observe import Observation

OPEN_MAX = 20_000
"""Spans that have begun and not ended; beyond that the oldest is ended."""

RUN_OF_NEW_TRACE: ContextVar[str | None] = ContextVar("run_of_new_trace", default=None)
"""The run whose trace is being begun, for a generator of ids that gives a run one trace."""

Key = tuple[str, str]
"""What a span is of, and its id."""


class OpenSpans:
    """A bounded number of spans; their times are the records' own."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: OrderedDict[Key, Span] = OrderedDict()
        self._in_session: dict[str, dict[Key, None]] = {}

    def find(self, *keys: Key) -> Span | None:
        """The first of these that is open."""
        return next((span for key in keys if (span := self._open.get(key)) is not None), None)

    def begin(
        self,
        key: Key,
        name: str,
        seen: Observation,
        *,
        parent: Span | None,
        attributes: Mapping[str, Any],
        **more: Any,
    ) -> None:
        """Begin a span, without a parent the first of its trace. `more`: its kind, its start, its links."""
        context = Context() if parent is None else trace.set_span_in_context(parent, Context())
        links: Sequence[Link] = more.get("links", ())
        token = RUN_OF_NEW_TRACE.set(seen.run_id if parent is None else None)
        try:
            self._open[key] = self._tracer.start_span(
                name,
                context=context,
                kind=more.get("kind", SpanKind.INTERNAL),
                attributes={**_about(seen), **attributes},
                links=links,
                start_time=more.get("at_ns", seen.at_ns),
            )
        finally:
            RUN_OF_NEW_TRACE.reset(token)
        if seen.session_id is not None and key[0] != "execution":
            self._in_session.setdefault(seen.session_id, {})[key] = None
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)[1].end(seen.at_ns)

    def end(self, key: Key, seen: Observation, *, error: str = "", **attributes: Any) -> None:
        """End a span; `error` is why it did not end as it should."""
        if seen.session_id is not None:
            self._in_session.get(seen.session_id, {}).pop(key, None)
        if (span := self._open.pop(key, None)) is None:
            return
        span.set_attributes(attributes)
        if error:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(seen.at_ns)

    def end_session(self, key: Key, seen: Observation, **attributes: Any) -> None:
        """End a session's span, and before it what is open below it; its executions may go on."""
        for below in list(self._in_session.get(key[1], ())):
            if below != key:
                self.end(below, seen)
        self.end(key, seen, **attributes)
        self._in_session.pop(key[1], None)

    def close(self) -> None:
        """End what is open: nothing more is seen of it here."""
        for span in self._open.values():
            span.end()
        self._open.clear()


def _about(seen: Observation) -> Mapping[str, Any]:
    """What every span says of itself."""
    names = {
        "agentfield.run.id": seen.run_id,
        "gen_ai.conversation.id": seen.session_id,
        "agentfield.turn.id": seen.turn_id,
    }
    return {name: value for name, value in names.items() if value is not None}
