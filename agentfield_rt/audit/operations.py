"""Openers and closers: one closer each, later, naming its opener; doubts and what settles them."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from agentfield_journal import Envelope
from agentfield_rt.audit.payloads import Data
from agentfield_rt.audit.report import Code, Findings, shown
from agentfield_rt.audit.tables import CLOSES, DOUBTS, OPERATIONS, SETTLES

CLOSED_MAX = 4_096
"""Closed operations remembered: what closes one of them again is told from what closes nothing."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An operation's first record."""

    kind: str
    record_id: str
    seq: int
    session_id: str | None
    data: Data


@dataclass(frozen=True, slots=True)
class Doubt:
    """A closer that leaves in doubt what happened."""

    kind: str
    seq: int
    session_id: str | None
    opened: Opened


@dataclass(frozen=True, slots=True)
class Step:
    """What a record is to an operation: it opens one, closes `closed`, or settles `settled`."""

    sound: bool = True
    closed: Opened | None = None
    settled: Doubt | None = None


_NO_STEP = Step()
_UNSOUND = Step(sound=False)


class Operations:
    """Invariants 15 and 16, and which operations of the run are open or in doubt."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.open: dict[str, Opened] = {}
        self.doubts: dict[str, Doubt] = {}
        self._closed: OrderedDict[str, None] = OrderedDict()

    def take(self, envelope: Envelope, data: Data) -> Step:
        """Follow one record; an unsound step says nothing about the rest of the run."""
        kind = envelope.kind
        if kind in OPERATIONS:
            return self._opens(envelope, data)
        if kind in CLOSES:
            return self._closes(envelope)
        if kind in SETTLES:
            return self._settles(envelope)
        return _NO_STEP

    def in_doubt(self, session_id: str) -> Iterator[Doubt]:
        """What of a session is in doubt."""
        return (doubt for doubt in self.doubts.values() if doubt.session_id == session_id)

    def _opens(self, envelope: Envelope, data: Data) -> Step:
        op_id = envelope.op_id or ""
        if op_id in self.open or op_id in self.doubts or op_id in self._closed:
            self._findings.add(Code.OPENED_TWICE, "There was an operation of this id before.")
        self.open[op_id] = Opened(envelope.kind, envelope.record_id, envelope.seq, envelope.session_id, data)
        return _NO_STEP

    def _closes(self, envelope: Envelope) -> Step:
        kind, op_id = envelope.kind, envelope.op_id or ""
        opened = self.open.get(op_id)
        if opened is None or opened.kind != CLOSES[kind]:
            if opened is None and op_id in self._closed:
                self._findings.add(Code.CLOSED_TWICE, f"{kind} closes an operation that is closed already.")
            else:
                self._findings.add(
                    Code.NO_OPENER, f"{kind} closes an operation that no {CLOSES[kind]} opened."
                )
            return _UNSOUND
        del self.open[op_id]
        self._closed[op_id] = None
        if len(self._closed) > CLOSED_MAX:
            self._closed.popitem(last=False)
        if envelope.request_record_id != opened.record_id:
            self._findings.add(
                Code.OPENER_NOT_NAMED, f"{kind} does not name {shown(opened.record_id)}, which opened it."
            )
        if kind in DOUBTS:
            self.doubts[op_id] = Doubt(kind, envelope.seq, envelope.session_id, opened)
        return Step(closed=opened)

    def _settles(self, envelope: Envelope) -> Step:
        doubt = self.doubts.get(envelope.op_id or "")
        if doubt is None or DOUBTS[doubt.kind] != envelope.kind:
            self._findings.add(Code.NOTHING_IN_DOUBT, "It settles an operation that is not in doubt.")
            return _UNSOUND
        del self.doubts[envelope.op_id or ""]
        return Step(settled=doubt)
