"""What a call looked like: who spoke when, what ran meanwhile, and how the provider's connection fared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agentfield_journal.envelope import Envelope
from agentfield_rt.core import records
from agentfield_rt.core.records import RECORD_TYPES, TurnSource
from agentfield_rt.run import decode

_MS = 1_000_000
_PROBLEMS: dict[type[records.Record], str] = {
    records.ConnectFailed: "no connection",
    records.ConnectUnknown: "no connection",
    records.ConnectionLost: "",
    records.RestartFailed: "no new connection",
    records.RestartUnknown: "no new connection",
    records.CloseFailed: "not hung up",
    records.CloseUnknown: "not hung up",
}


class Lane(StrEnum):
    """Where a bar is drawn, from the top down."""

    CALLER = "caller"
    REASONERS = "reasoners"
    AGENT = "agent"
    PROVIDER = "provider"


class BarKind(StrEnum):
    """What a bar stands for."""

    SPOKEN = "spoken"
    NOT_UNDERSTOOD = "not_understood"
    RAN = "ran"
    FAILED = "failed"
    PLAYED = "played"
    CUT_OFF = "cut_off"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RESTARTING = "restarting"


@dataclass(slots=True, kw_only=True)
class Bar:
    """Something that took time; times are milliseconds from the first record.

    Attributes:
        label: What it is, without content: a target, a reason.
        text: What was said, if whoever reads the journal brought the texts.
        depth: How deep an execution is nested.
    """

    lane: Lane
    kind: BarKind
    start_ms: float
    end_ms: float
    label: str = ""
    text: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something at one moment: a typed turn, a lost connection, frames that waited or were dropped."""

    lane: Lane
    at_ms: float
    label: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The silence between a caller's last word and the first sound of the answer."""

    start_ms: float
    end_ms: float


@dataclass(slots=True, kw_only=True)
class Timeline:
    """A call. `ended` is the reason of its end, or empty while it goes on."""

    run_id: str = ""
    target: str = ""
    pair: str = ""
    started_ns: int = 0
    duration_ms: float = 0.0
    ended: str = ""
    bars: list[Bar] = field(default_factory=list[Bar])
    marks: list[Mark] = field(default_factory=list[Mark])
    replies: list[Reply] = field(default_factory=list[Reply])


def read_timeline(envelopes: Sequence[Envelope], texts: Mapping[str, str] | None = None) -> Timeline:
    """The call that `envelopes`, the records of one run, tell of.

    Args:
        texts: Content by its reference; without it the picture holds no word that was said.

    Raises:
        ReplayMismatch: a record is none of this version's.
    """
    reader = _Reader(texts or {})
    for envelope in envelopes:
        reader.take(envelope)
    return reader.finish()


class _Reader:
    """Folds records into a timeline. Bars that are open at the end last until the last record."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._timeline = Timeline()
        self._now_ms = 0.0
        self._speaking_since_ms: float | None = None
        self._open: dict[str, Bar] = {}
        self._said: dict[str, str | None] = {}
        self._turn_ends_ms: dict[str, float] = {}
        self._connection: Bar | None = None
        self._waiting = 0

    def take(self, envelope: Envelope) -> None:
        if not self._timeline.started_ns:
            self._timeline.started_ns, self._timeline.run_id = envelope.at_ns, envelope.run_id
        self._now_ms = (envelope.at_ns - self._timeline.started_ns) / _MS
        self._timeline.duration_ms = self._now_ms
        if envelope.kind not in RECORD_TYPES:
            return  # another feature's, or a later version's: the picture does without it
        match decode(envelope):
            case records.SessionStarted(target=target, provider=provider, transport=transport):
                self._timeline.target, self._timeline.pair = target, f"{provider}/{transport}"
            case records.SessionEnded(reason=reason):
                self._timeline.ended = reason.value
            case records.OutputReceived(events=events) if "SpeechStarted" in events:
                self._speaking_since_ms = self._now_ms
            case records.TurnStarted() as turn:
                self._turn(turn)
            case records.ExecutionQueued() as execution:
                self._execution(execution)
            case records.ExecutionSucceeded(op_id=op_id):
                self._close(op_id)
            case records.ExecutionFailed(op_id=op_id, reason=reason):
                self._close(op_id, kind=BarKind.FAILED, label=f" failed: {_words(reason)}")
            case records.ExecutionCancelled(op_id=op_id):
                self._close(op_id, kind=BarKind.FAILED, label=" cancelled")
            case record:
                self._utterance(record, envelope.turn_id)
                self._boundary(record)

    def finish(self) -> Timeline:
        if self._connection is not None:
            self._connection.end_ms = self._now_ms
        for bar in self._open.values():
            bar.end_ms = self._now_ms
        return self._timeline

    def _turn(self, turn: records.TurnStarted) -> None:
        text = self._texts.get(turn.text_ref or "", "")
        if turn.source is TurnSource.TEXT:
            self._timeline.marks.append(Mark(lane=Lane.CALLER, at_ms=self._now_ms, label="typed", text=text))
            self._turn_ends_ms[turn.op_id] = self._now_ms
            return
        end_ms = self._now_ms
        if turn.spoken_until_ns is not None:
            end_ms = (turn.spoken_until_ns - self._timeline.started_ns) / _MS
        since_ms, self._speaking_since_ms = self._speaking_since_ms, None
        start_ms = min(since_ms if since_ms is not None else end_ms, end_ms)
        kind = BarKind.SPOKEN if turn.understood else BarKind.NOT_UNDERSTOOD
        label = "" if turn.understood else "not understood"
        self._turn_ends_ms[turn.op_id] = end_ms
        self._add(Bar(lane=Lane.CALLER, kind=kind, start_ms=start_ms, end_ms=end_ms, label=label, text=text))

    def _execution(self, execution: records.ExecutionQueued) -> None:
        parent = self._open.get(execution.parent_execution_id or "")
        self._open[execution.op_id] = self._add(
            Bar(
                lane=Lane.REASONERS,
                kind=BarKind.RAN,
                start_ms=self._now_ms,
                end_ms=self._now_ms,
                label=execution.target.partition(".")[2],
                depth=parent.depth + 1 if parent else 0,
            )
        )

    def _utterance(self, record: records.Record, turn_id: str | None) -> None:
        match record:
            case records.UtteranceRequested(op_id=op_id, text_ref=text_ref):
                self._said[op_id] = text_ref
            case records.UtteranceStarted(utterance_id=op_id):
                text = self._texts.get(self._said.get(op_id) or "", "")
                now_ms = self._now_ms
                bar = Bar(lane=Lane.AGENT, kind=BarKind.PLAYED, start_ms=now_ms, end_ms=now_ms, text=text)
                self._open[op_id] = self._add(bar)
                if (asked_ms := self._turn_ends_ms.pop(turn_id or "", None)) is not None:
                    self._timeline.replies.append(Reply(start_ms=asked_ms, end_ms=now_ms))
            case records.UtterancePlayed(op_id=op_id):
                self._close(op_id)
            case records.UtteranceInterrupted(op_id=op_id, heard_ref=heard_ref):
                heard = self._texts.get(heard_ref or "", "")
                self._close(op_id, kind=BarKind.CUT_OFF, label="cut off", text=f"{heard} …" if heard else "")
            case records.UtteranceFailed(op_id=op_id, reason=reason):
                if op_id in self._open:
                    self._close(op_id, kind=BarKind.FAILED, label=f"failed: {_words(reason)}")
                else:
                    self._mark(Lane.AGENT, f"not said: {_words(reason)}")
            case _:
                pass

    def _boundary(self, record: records.Record) -> None:
        match record:
            case records.ConnectRequested():
                self._connect(BarKind.CONNECTING, "connecting")
            case records.Connected():
                self._connect(BarKind.CONNECTED)
            case records.RestartStarted():
                self._waiting = 0
                self._connect(BarKind.RESTARTING, "new connection")
            case records.RestartCompleted():
                if self._waiting and self._connection is not None:
                    self._connection.label += f", {self._waiting} frames waited"
                self._connect(BarKind.CONNECTED)
            case records.BackpressureApplied():
                self._waiting += 1
            case records.InputDropped(reason=reason):
                self._mark(Lane.PROVIDER, f"frame dropped: {_words(reason)}")
            case records.Closed():
                self._disconnect("")
            case _:
                if (problem := _PROBLEMS.get(type(record))) is not None:
                    why = _words(getattr(record, "reason", ""))
                    self._disconnect(f"{problem}: {why}" if problem else why)

    def _add(self, bar: Bar) -> Bar:
        self._timeline.bars.append(bar)
        return bar

    def _mark(self, lane: Lane, label: str) -> None:
        self._timeline.marks.append(Mark(lane=lane, at_ms=self._now_ms, label=label))

    def _close(self, op_id: str, *, kind: BarKind | None = None, label: str = "", text: str = "") -> None:
        bar = self._open.pop(op_id, None)
        if bar is None:
            return
        bar.end_ms = self._now_ms
        bar.kind, bar.label, bar.text = kind or bar.kind, bar.label + label, text or bar.text

    def _connect(self, kind: BarKind, label: str = "") -> None:
        if self._connection is not None:
            self._connection.end_ms = self._now_ms
        now_ms = self._now_ms
        self._connection = self._add(
            Bar(lane=Lane.PROVIDER, kind=kind, start_ms=now_ms, end_ms=now_ms, label=label)
        )

    def _disconnect(self, why: str) -> None:
        if self._connection is not None:
            self._connection.end_ms = self._now_ms
            self._connection = None
        if why:
            self._mark(Lane.PROVIDER, why)


def _words(reason: str) -> str:
    return str(reason).replace("_", " ")
