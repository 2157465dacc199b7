"""Spans from records: sessions, turns, what is said, tools, executions, operations on a provider's side.

OpenTelemetry's API only, and its conventions for generative AI; content is in none of them. Times are the
records' own. Windows of media make no spans.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import CLOSES, OPENS, Outcome
from agentfield_rt.core.records import Record
from agentfield_rt.observe import Observation
from agentfield_rt.plane.operation.record_metrics import MEDIA, UNKNOWN_OUTCOME

OPEN_MAX = 20_000
"""Spans that have begun and not ended; beyond that the oldest is ended."""

RUN_OF_NEW_TRACE: ContextVar[str | None] = ContextVar("run_of_new_trace", default=None)
"""The run whose trace is being begun, for a generator of ids that gives a run one trace."""

_Key = tuple[str, str]


class RecordSpans:
    """An observer of records.

    A session is the root of its trace, an execution is below whoever asked for it.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: OrderedDict[_Key, Span] = OrderedDict()
        self._in_session: dict[str, dict[_Key, None]] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._takes: dict[type[Record], Callable[[Observation, Any], None]] = {
            records.SessionStarted: self._session_started,
            records.SessionEnded: self._session_ended,
            records.TurnStarted: self._turn_started,
            records.TurnCompleted: self._turn_ended,
            records.TurnFailed: self._turn_ended,
            records.UtteranceRequested: self._utterance_requested,
            records.UtteranceStarted: self._utterance_started,
            records.UtterancePlayed: self._utterance_ended,
            records.UtteranceInterrupted: self._utterance_ended,
            records.UtteranceFailed: self._utterance_ended,
            records.UtteranceSkipped: self._utterance_ended,
            records.ToolIntentRecorded: self._tool_called,
            records.ToolResultRecorded: self._tool_answered,
            records.ExecutionQueued: self._execution_queued,
            records.ExecutionSucceeded: self._execution_ended,
            records.ExecutionFailed: self._execution_ended,
            records.ExecutionCancelled: self._execution_ended,
            records.UsageRecorded: self._used,
            records.ConnectionLost: self._connection_lost,
        }
        self._takes |= {opener: self._operation_began for opener, name in OPENS.items() if name not in MEDIA}
        self._takes |= {
            closer: self._operation_ended for closer, (name, _) in CLOSES.items() if name not in MEDIA
        }

    def __call__(self, seen: Observation) -> None:
        """Take in a record."""
        if (take := self._takes.get(type(seen.record))) is not None:
            take(seen, seen.record)

    def close(self) -> None:
        """End what is open: nothing more is seen of it here."""
        for span in self._open.values():
            span.end()
        self._open.clear()

    def _begin(
        self,
        key: _Key,
        name: str,
        seen: Observation,
        *,
        parents: tuple[_Key, ...] = (),
        **more: Any,
    ) -> None:
        """Begin a span below the first of `parents` that is open. `more`: its attributes, kind and start."""
        parent = next((span for above in parents if (span := self._open.get(above)) is not None), None)
        context = None if parent is None else trace.set_span_in_context(parent)
        token = RUN_OF_NEW_TRACE.set(seen.run_id if parent is None else None)
        try:
            self._open[key] = self._tracer.start_span(
                name,
                context=context,
                kind=more.get("kind", SpanKind.INTERNAL),
                attributes=_about(seen) | more.get("attributes", {}),
                start_time=more.get("at_ns", seen.at_ns),
            )
        finally:
            RUN_OF_NEW_TRACE.reset(token)
        if seen.session_id is not None and key[0] != "execution":
            self._in_session.setdefault(seen.session_id, {})[key] = None
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)[1].end(seen.at_ns)

    def _end(self, key: _Key, seen: Observation, *, error: str = "", **attributes: Any) -> None:
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

    def _session_started(self, seen: Observation, record: records.SessionStarted) -> None:
        session_id = seen.session_id or ""
        about: dict[str, Any] = {
            "gen_ai.agent.name": record.target,
            "gen_ai.provider.name": record.provider,
            **({"gen_ai.request.model": record.model} if record.model else {}),
        }
        self._about[session_id] = about
        attributes = about | {"agentfield.transport": record.transport}
        self._begin(("session", session_id), f"session {record.target}", seen, attributes=attributes)

    def _session_ended(self, seen: Observation, record: records.SessionEnded) -> None:
        session_id = seen.session_id or ""
        own = ("session", session_id)
        for key in list(self._in_session.get(session_id, ())):
            if key != own:
                self._end(key, seen)
        self._end(own, seen, **{"agentfield.close_reason": str(record.reason)})
        self._in_session.pop(session_id, None)
        self._about.pop(session_id, None)

    def _turn_started(self, seen: Observation, record: records.TurnStarted) -> None:
        about = self._about.get(seen.session_id or "", {})
        self._begin(
            ("turn", record.op_id),
            f"invoke_agent {about.get('gen_ai.agent.name', '')}".rstrip(),
            seen,
            parents=(_session(seen),),
            attributes=about
            | {"gen_ai.operation.name": "invoke_agent", "agentfield.turn.source": record.source},
            at_ns=record.spoken_until_ns or seen.at_ns,
        )

    def _turn_ended(self, seen: Observation, record: records.TurnCompleted | records.TurnFailed) -> None:
        error = record.reason if isinstance(record, records.TurnFailed) else ""
        self._end(("turn", record.op_id), seen, error=error)

    def _utterance_requested(self, seen: Observation, record: records.UtteranceRequested) -> None:
        about = self._about.get(seen.session_id or "", {})
        self._begin(
            ("utterance", record.op_id),
            f"chat {about.get('gen_ai.request.model', '')}".rstrip(),
            seen,
            parents=(_turn(seen), _session(seen)),
            attributes=about | {"gen_ai.operation.name": "chat", "gen_ai.output.type": "speech"},
            kind=SpanKind.CLIENT,
        )

    def _utterance_started(self, seen: Observation, record: records.UtteranceStarted) -> None:
        if (span := self._open.get(("utterance", record.utterance_id))) is not None:
            span.set_attribute("gen_ai.response.id", record.response_id)
            span.add_event("agentfield.first_audio", timestamp=seen.at_ns)

    def _utterance_ended(self, seen: Observation, record: Any) -> None:
        key = ("utterance", record.op_id)
        match record:
            case records.UtteranceFailed(reason=reason):
                self._end(key, seen, error=reason)
            case records.UtteranceSkipped() | records.UtteranceInterrupted():
                self._end(key, seen, **{"agentfield.outcome": record.kind.removeprefix("utterance_")})
            case _:
                self._end(key, seen)

    def _tool_called(self, seen: Observation, record: records.ToolIntentRecorded) -> None:
        self._begin(
            ("tool", record.op_id),
            f"execute_tool {record.target}",
            seen,
            parents=(_turn(seen), _session(seen)),
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": record.target,
                "gen_ai.tool.call.id": record.op_id,
                "gen_ai.tool.type": "function",
            },
        )

    def _tool_answered(self, seen: Observation, record: records.ToolResultRecorded) -> None:
        self._end(("tool", record.op_id), seen, error=record.reason or "")

    def _execution_queued(self, seen: Observation, record: records.ExecutionQueued) -> None:
        self._begin(
            ("execution", record.op_id),
            f"execution {record.target}",
            seen,
            parents=(("execution", record.parent_execution_id or ""), _turn(seen), _session(seen)),
            attributes={"agentfield.target": record.target, "agentfield.execution.id": record.op_id},
        )

    def _execution_ended(self, seen: Observation, record: Any) -> None:
        status = record.kind.removeprefix("execution_")
        error = str(record.reason) if isinstance(record, records.ExecutionFailed) else ""
        self._end(("execution", record.op_id), seen, error=error, **{"agentfield.status": status})

    def _used(self, seen: Observation, record: records.UsageRecorded) -> None:
        """As an event of the session: an answer's cost is often told when the answer is over."""
        if (span := self._open.get(_session(seen))) is not None:
            span.add_event(
                "gen_ai.usage",
                {
                    "gen_ai.usage.input_tokens": record.input_tokens,
                    "gen_ai.usage.output_tokens": record.output_tokens,
                    **({"gen_ai.response.id": record.response_id} if record.response_id else {}),
                },
                seen.at_ns,
            )

    def _connection_lost(self, seen: Observation, record: records.ConnectionLost) -> None:
        if (span := self._open.get(_session(seen))) is not None:
            span.add_event("agentfield.connection_lost", {"error.type": record.reason}, seen.at_ns)

    def _operation_began(self, seen: Observation, record: Any) -> None:
        name = OPENS[type(record)]
        self._begin(
            (seen.run_id, record.op_id),
            f"provider {name}",
            seen,
            parents=(_session(seen),),
            attributes=self._about.get(seen.session_id or "", {}) | {"gen_ai.operation.name": name},
            kind=SpanKind.CLIENT,
        )

    def _operation_ended(self, seen: Observation, record: Any) -> None:
        _, outcome = CLOSES[type(record)]
        error = "" if outcome is Outcome.DONE else UNKNOWN_OUTCOME
        if outcome is Outcome.NOT_DONE:
            error = str(record.reason)
        self._end((seen.run_id, record.op_id), seen, error=error)


def _session(seen: Observation) -> _Key:
    return "session", seen.session_id or ""


def _turn(seen: Observation) -> _Key:
    return "turn", seen.turn_id or ""


def _about(seen: Observation) -> Mapping[str, Any]:
    """What every span says of itself."""
    names = {
        "agentfield.run.id": seen.run_id,
        "gen_ai.conversation.id": seen.session_id,
        "agentfield.turn.id": seen.turn_id,
    }
    return {name: value for name, value in names.items() if value is not None}
