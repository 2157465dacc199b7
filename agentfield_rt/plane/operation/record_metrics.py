"""Counts and times what records tell. Knows nothing of where measurements go."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import CLOSES, OPENS, OperationName, Outcome
from agentfield_rt.core.records import Record
from agentfield_rt.observe import Observation
from agentfield_rt.plane.operation import instruments
from agentfield_rt.plane.operation.meters import Meters

OPEN_MAX = 20_000
"""Things that have begun and not ended; the oldest is forgotten, and not measured."""

MEDIA = frozenset({OperationName.SEND, OperationName.RECEIVE})
"""Operations that are windows of media: how long they are says nothing."""

UNKNOWN_OUTCOME = "unknown"
"""The `error.type` of an operation of which nobody knows how it ended."""

_NS = 1e9


@dataclass(frozen=True, slots=True)
class _Session:
    target: str
    provider: str
    transport: str
    model: str


_NO_SESSION = _Session("", "", "", "")


class RecordMetrics:
    """An observer of records.

    Attributes:
        sessions_active: Sessions that started here and have not ended.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._sessions: dict[str, _Session] = {}
        self._began: OrderedDict[tuple[str, str, str], tuple[int, str]] = OrderedDict()
        self._awaited: dict[str, tuple[str, int]] = {}
        self.sessions_active = 0
        meters.watch(instruments.SESSIONS_ACTIVE, lambda: self.sessions_active)
        self._takes: dict[type[Record], Callable[[Observation, Any], None]] = {
            records.SessionStarted: self._session_started,
            records.SessionEnded: self._session_ended,
            records.TurnStarted: self._turn_started,
            records.TurnCompleted: self._turn_ended,
            records.TurnFailed: self._turn_ended,
            records.UtteranceRequested: self._utterance_requested,
            records.UtteranceStarted: self._utterance_started,
            records.ToolIntentRecorded: self._tool_called,
            records.ToolResultRecorded: self._tool_answered,
            records.ExecutionQueued: self._execution_queued,
            records.ExecutionDispatchRequested: self._execution_sent,
            records.ExecutionSucceeded: self._execution_ended,
            records.ExecutionFailed: self._execution_ended,
            records.ExecutionCancelled: self._execution_ended,
            records.UsageRecorded: self._used,
            records.ConnectionLost: self._connection_lost,
            records.InputDropped: self._frame_dropped,
            records.OutputLate: self._output_late,
        }
        self._takes |= {opener: self._operation_began for opener, name in OPENS.items() if name not in MEDIA}
        self._takes |= {
            closer: self._operation_ended for closer, (name, _) in CLOSES.items() if name not in MEDIA
        }

    def __call__(self, seen: Observation) -> None:
        """Take in a record."""
        self._meters.record(instruments.RECORDS, 1, seen.record.kind)
        if (take := self._takes.get(type(seen.record))) is not None:
            take(seen, seen.record)

    def _session(self, seen: Observation) -> _Session:
        return self._sessions.get(seen.session_id or "", _NO_SESSION)

    def _begin(self, what: str, seen: Observation, op_id: str, *, detail: str = "", at_ns: int = 0) -> None:
        self._began[what, seen.run_id, op_id] = at_ns or seen.at_ns, detail
        if len(self._began) > OPEN_MAX:
            self._began.popitem(last=False)

    def _end(self, what: str, seen: Observation, op_id: str) -> tuple[float, str] | None:
        """How many seconds it took, and its detail; None if its beginning was not seen."""
        began = self._began.pop((what, seen.run_id, op_id), None)
        return None if began is None else (max(seen.at_ns - began[0], 0) / _NS, began[1])

    def _session_started(self, seen: Observation, record: records.SessionStarted) -> None:
        session_id = seen.session_id or ""
        session = _Session(record.target, record.provider, record.transport, record.model or "")
        self._sessions[session_id] = session
        self.sessions_active = len(self._sessions)
        self._begin("session", seen, session_id)
        self._meters.record(
            instruments.SESSIONS_STARTED, 1, session.target, session.provider, session.transport
        )

    def _session_ended(self, seen: Observation, record: records.SessionEnded) -> None:
        session = self._sessions.pop(seen.session_id or "", _NO_SESSION)
        self._awaited.pop(seen.session_id or "", None)
        self.sessions_active = len(self._sessions)
        if (took := self._end("session", seen, seen.session_id or "")) is not None:
            self._meters.record(
                instruments.SESSION,
                took[0],
                session.target,
                session.provider,
                session.transport,
                record.reason,
            )

    def _turn_started(self, seen: Observation, record: records.TurnStarted) -> None:
        spoken_ns = record.spoken_until_ns or seen.at_ns
        self._begin("turn", seen, record.op_id, at_ns=spoken_ns)
        if seen.session_id is not None:
            self._awaited[seen.session_id] = record.op_id, spoken_ns

    def _turn_ended(self, seen: Observation, record: records.TurnCompleted | records.TurnFailed) -> None:
        if (took := self._end("turn", seen, record.op_id)) is not None:
            failed = record.reason if isinstance(record, records.TurnFailed) else ""
            self._meters.record(instruments.TURN, took[0], self._session(seen).target, failed)

    def _utterance_requested(self, seen: Observation, record: records.UtteranceRequested) -> None:
        self._begin("utterance", seen, record.op_id)

    def _utterance_started(self, seen: Observation, record: records.UtteranceStarted) -> None:
        session = self._session(seen)
        if (took := self._end("utterance", seen, record.utterance_id)) is not None:
            self._meters.record(instruments.FIRST_CHUNK, took[0], "chat", session.provider, session.model)
        turn_id, spoken_ns = self._awaited.get(seen.session_id or "", ("", 0))
        if turn_id and turn_id == seen.turn_id:
            del self._awaited[seen.session_id or ""]
            reply_s = max(seen.at_ns - spoken_ns, 0) / _NS
            self._meters.record(instruments.FIRST_AUDIO, reply_s, session.target, session.provider)

    def _tool_called(self, seen: Observation, record: records.ToolIntentRecorded) -> None:
        self._begin("tool", seen, record.op_id, detail=record.target)

    def _tool_answered(self, seen: Observation, record: records.ToolResultRecorded) -> None:
        if (took := self._end("tool", seen, record.op_id)) is not None:
            self._meters.record(instruments.TOOL, *took, record.reason or "")

    def _execution_queued(self, seen: Observation, record: records.ExecutionQueued) -> None:
        self._begin("execution", seen, record.op_id, detail=record.target)
        if record.remote:
            self._begin("queue", seen, record.op_id, detail=record.target)

    def _execution_sent(self, seen: Observation, record: records.ExecutionDispatchRequested) -> None:
        if (took := self._end("queue", seen, record.execution_id)) is not None:  # its first attempt
            self._meters.record(instruments.QUEUED, *took)

    def _execution_ended(self, seen: Observation, record: Any) -> None:
        self._end("queue", seen, record.op_id)  # it never was sent
        if (took := self._end("execution", seen, record.op_id)) is not None:
            status = record.kind.removeprefix("execution_")
            self._meters.record(instruments.EXECUTION, *took, status)

    def _used(self, seen: Observation, record: records.UsageRecorded) -> None:
        session = self._session(seen)
        doing = "chat" if record.response_id is not None else "transcription"
        for name, tokens in (("input", record.input_tokens), ("output", record.output_tokens)):
            self._meters.record(instruments.TOKENS, tokens, doing, session.provider, session.model, name)

    def _connection_lost(self, seen: Observation, record: records.ConnectionLost) -> None:
        self._meters.record(instruments.CONNECTIONS_LOST, 1, self._session(seen).provider, record.reason)

    def _frame_dropped(self, seen: Observation, record: records.InputDropped) -> None:
        self._meters.record(instruments.FRAMES_DROPPED, 1, record.reason)

    def _output_late(self, seen: Observation, record: records.OutputLate) -> None:
        self._meters.record(instruments.OUTPUT_LATE, record.count)

    def _operation_began(self, seen: Observation, record: Any) -> None:
        self._begin("operation", seen, record.op_id)

    def _operation_ended(self, seen: Observation, record: Any) -> None:
        if (took := self._end("operation", seen, record.op_id)) is None:
            return
        name, outcome = CLOSES[type(record)]
        session = self._session(seen)
        self._meters.record(
            instruments.OPERATION,
            took[0],
            name,
            session.provider,
            session.model,
            _error_type(outcome, record),
        )


def _error_type(outcome: Outcome, record: Any) -> str:
    match outcome:
        case Outcome.DONE:
            return ""
        case Outcome.UNKNOWN:
            return UNKNOWN_OUTCOME
        case Outcome.NOT_DONE:
            return str(record.reason)
