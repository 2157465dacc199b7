"""Spans from records: sessions, turns, what is said, tools, executions, operations on a provider's side.

OpenTelemetry's API only, and its conventions for generative AI; content is in none of them. Times are the
records' own. Windows of media make no spans.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer

from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import CLOSES, OPENS, Outcome
from agentfield_rt.core.records import Record
from agentfield_rt.observe import Observation
from agentfield_rt.plane.operation.open_spans import Key, OpenSpans
from agentfield_rt.plane.operation.record_metrics import MEDIA, UNKNOWN_OUTCOME


class RecordSpans:
    """An observer of records.

    A session is the root of its trace, an execution is below whoever asked for it.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._open = OpenSpans(tracer)
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

    def execution(self, execution_id: str) -> Span | None:
        """The span of an execution that is open and was accepted here."""
        return self._open.find(("execution", execution_id))

    @contextmanager
    def within(self, execution_id: str) -> Generator[None]:
        """See `Within`. Of an execution that an earlier process accepted there is no span."""
        span = self.execution(execution_id)
        context = Context() if span is None else trace.set_span_in_context(span, Context())
        token = current.attach(context)
        try:
            yield
        finally:
            current.detach(token)

    def close(self) -> None:
        """End what is open: nothing more is seen of it here."""
        self._open.close()

    def _session_started(self, seen: Observation, record: records.SessionStarted) -> None:
        session_id = seen.session_id or ""
        about: dict[str, Any] = {
            "gen_ai.agent.name": record.target,
            "gen_ai.provider.name": record.provider,
            **({"gen_ai.request.model": record.model} if record.model else {}),
        }
        self._about[session_id] = about
        attributes = about | {"agentfield.transport": record.transport}
        asked = trace.get_current_span().get_span_context()  # a trace of its own: it outlives the request
        self._open.begin(
            _session(seen),
            f"session {record.target}",
            seen,
            parent=None,
            attributes=attributes,
            links=[Link(asked)] if asked.is_valid else [],
        )

    def _session_ended(self, seen: Observation, record: records.SessionEnded) -> None:
        self._open.end_session(_session(seen), seen, **{"agentfield.close_reason": str(record.reason)})
        self._about.pop(seen.session_id or "", None)

    def _turn_started(self, seen: Observation, record: records.TurnStarted) -> None:
        about = self._about.get(seen.session_id or "", {})
        self._open.begin(
            ("turn", record.op_id),
            f"invoke_agent {about.get('gen_ai.agent.name', '')}".rstrip(),
            seen,
            parent=self._open.find(_session(seen)),
            attributes=about
            | {"gen_ai.operation.name": "invoke_agent", "agentfield.turn.source": record.source},
            at_ns=record.spoken_until_ns or seen.at_ns,
        )

    def _turn_ended(self, seen: Observation, record: records.TurnCompleted | records.TurnFailed) -> None:
        error = record.reason if isinstance(record, records.TurnFailed) else ""
        self._open.end(("turn", record.op_id), seen, error=error)

    def _utterance_requested(self, seen: Observation, record: records.UtteranceRequested) -> None:
        about = self._about.get(seen.session_id or "", {})
        self._open.begin(
            ("utterance", record.op_id),
            f"chat {about.get('gen_ai.request.model', '')}".rstrip(),
            seen,
            parent=self._open.find(_turn(seen), _session(seen)),
            attributes=about | {"gen_ai.operation.name": "chat", "gen_ai.output.type": "speech"},
            kind=SpanKind.CLIENT,
        )

    def _utterance_started(self, seen: Observation, record: records.UtteranceStarted) -> None:
        if (span := self._open.find(("utterance", record.utterance_id))) is not None:
            span.set_attribute("gen_ai.response.id", record.response_id)
            span.add_event("agentfield.first_audio", timestamp=seen.at_ns)

    def _utterance_ended(self, seen: Observation, record: Any) -> None:
        key = ("utterance", record.op_id)
        match record:
            case records.UtteranceFailed(reason=reason):
                self._open.end(key, seen, error=reason)
            case records.UtteranceSkipped() | records.UtteranceInterrupted():
                self._open.end(key, seen, **{"agentfield.outcome": record.kind.removeprefix("utterance_")})
            case _:
                self._open.end(key, seen)

    def _tool_called(self, seen: Observation, record: records.ToolIntentRecorded) -> None:
        self._open.begin(
            ("tool", record.op_id),
            f"execute_tool {record.target}",
            seen,
            parent=self._open.find(_turn(seen), _session(seen)),
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": record.target,
                "gen_ai.tool.call.id": record.op_id,
                "gen_ai.tool.type": "function",
            },
        )

    def _tool_answered(self, seen: Observation, record: records.ToolResultRecorded) -> None:
        self._open.end(("tool", record.op_id), seen, error=record.reason or "")

    def _execution_queued(self, seen: Observation, record: records.ExecutionQueued) -> None:
        caller = ("execution", record.parent_execution_id or "")
        above = self._open.find(caller, _turn(seen), _session(seen))
        self._open.begin(
            ("execution", record.op_id),
            f"execution {record.target}",
            seen,
            parent=_nearest(above),
            attributes={"agentfield.target": record.target, "agentfield.execution.id": record.op_id},
        )

    def _execution_ended(self, seen: Observation, record: Any) -> None:
        status = record.kind.removeprefix("execution_")
        error = str(record.reason) if isinstance(record, records.ExecutionFailed) else ""
        self._open.end(("execution", record.op_id), seen, error=error, **{"agentfield.status": status})

    def _used(self, seen: Observation, record: records.UsageRecorded) -> None:
        """As an event of the session: an answer's cost is often told when the answer is over."""
        if (span := self._open.find(_session(seen))) is not None:
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
        if (span := self._open.find(_session(seen))) is not None:
            span.add_event("agentfield.connection_lost", {"error.type": record.reason}, seen.at_ns)

    def _operation_began(self, seen: Observation, record: Any) -> None:
        name = OPENS[type(record)]
        self._open.begin(
            (seen.run_id, record.op_id),
            f"provider {name}",
            seen,
            parent=self._open.find(_session(seen)),
            attributes=self._about.get(seen.session_id or "", {}) | {"gen_ai.operation.name": name},
            kind=SpanKind.CLIENT,
        )

    def _operation_ended(self, seen: Observation, record: Any) -> None:
        _, outcome = CLOSES[type(record)]
        error = "" if outcome is Outcome.DONE else UNKNOWN_OUTCOME
        if outcome is Outcome.NOT_DONE:
            error = str(record.reason)
        self._open.end((seen.run_id, record.op_id), seen, error=error)


def _session(seen: Observation) -> Key:
    return "session", seen.session_id or ""


def _turn(seen: Observation) -> Key:
    return "turn", seen.turn_id or ""


def _nearest(above: Span | None) -> Span | None:
    """The span to begin below: what goes on here now, if that is part of the same trace or there is none.

    What ended long ago still goes on for tasks that it began: a call's handler runs in its first request's.
    """
    here = trace.get_current_span()
    its = here.get_span_context()
    is_live = here.is_recording() or not its.trace_flags.sampled
    is_same = above is None or its.trace_id == above.get_span_context().trace_id
    return here if its.is_valid and is_live and is_same else above
