"""What a run still waits for: a fold over its records, from which the completion gates are read.

Works on names and places only, never on payloads, so that a reader needs no decoder. It trusts the order of
records within an operation; whether that order is right, the auditor says.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import (
    CLOSES,
    FEATURE_OPERATIONS,
    OPENS,
    OPERATIONS,
    TERMINAL,
    TRANSITIONS,
    Phase,
)
from agentfield_rt.core.records import RECORD_TYPES
from agentfield_rt.errors import ReplayMismatch


class Condition(StrEnum):
    """What holds of a run that is complete; the reference's names. All are derived, none is ever set."""

    FINAL_VISIBLE_OUTPUT_SEEN = "final_visible_output_seen"
    TERMINAL_EVENT_REPLAYABLE = "terminal_event_replayable"
    STREAM_INTERVENTIONS_TERMINAL = "stream_interventions_terminal"
    REALTIME_SESSIONS_TERMINAL = "realtime_sessions_terminal"
    OUTPUT_DELIVERY_TERMINAL = "output_delivery_terminal"
    APPROVALS_TERMINAL = "approvals_terminal"
    JOURNAL_TERMINAL = "journal_terminal"


@dataclass(frozen=True, slots=True)
class Fact:
    """A record as far as completion is concerned. `frame_id` only where a frame meets the gate."""

    seq: int
    kind: str
    op_id: str | None = None
    session_id: str | None = None
    frame_id: str | None = None

    def __str__(self) -> str:
        of = "" if self.op_id is None else f", operation {self.op_id}"
        return f"{self.kind} (seq {self.seq}{of})"


@dataclass(frozen=True, slots=True)
class Unmet:
    """A condition that does not hold: why, in one sentence, and the record it waits for, if there is one."""

    condition: Condition
    sentence: str
    waits_for: Fact | None = None


SEALS = {
    records.RunCompleted.kind: "completed",
    records.RunFailed.kind: "failed",
    records.RunCancelled.kind: "cancelled",
}
"""A run's last record, and what it says became of the run."""

_RECONCILIATIONS = frozenset(kind for kind in RECORD_TYPES if kind.endswith("_reconciled"))
_REPORTS = frozenset(
    {records.SubcallReported.kind, records.ExecutionNoted.kind, records.ExecutionUsageReported.kind}
)
AFTER_SEAL = _RECONCILIATIONS | _REPORTS | {records.EmergencyClosed.kind}
"""What may still be recorded of a sealed run: what somebody found out, or told, later."""

_REALTIME_OPENERS = frozenset(opener.kind for opener in OPENS)
_FEATURE_OPENERS = frozenset(opener.kind for opener in FEATURE_OPERATIONS)
_CLOSERS = frozenset(closer.kind for closers in (CLOSES, *FEATURE_OPERATIONS.values()) for closer in closers)
_DOUBTS = frozenset(operation.unknown.kind for operation in OPERATIONS.values() if operation.repair)
_PHASES = {record_type.kind: steps for record_type, steps in TRANSITIONS.items()}
_AT_REST = TERMINAL | {Phase.IDLE}
_LEAVES_GATE = frozenset({records.BackpressureReleased.kind, records.InputDropped.kind})
GATE_KINDS = _LEAVES_GATE | {records.BackpressureApplied.kind}
"""Records that bring a frame to the gate or away from it."""

_VISIBLE = frozenset(
    {
        records.OutputReceived.kind,
        records.UtterancePlayed.kind,
        records.UtteranceInterrupted.kind,
        records.ExecutionSucceeded.kind,
        records.ExecutionFailed.kind,
        records.ExecutionCancelled.kind,
        records.OutputDispatchCompleted.kind,
        # A caller who hung up before the first word has seen all there will be.
        records.SessionEnded.kind,
    }
)

_CONDITION_OF_PREFIX = {
    "stream_": Condition.STREAM_INTERVENTIONS_TERMINAL,
    "approval_": Condition.APPROVALS_TERMINAL,
    "output_dispatch_": Condition.OUTPUT_DELIVERY_TERMINAL,
    "utterance_": Condition.OUTPUT_DELIVERY_TERMINAL,
}


def _condition_of(opener: str) -> Condition:
    """The condition that an open operation keeps from holding; of turns, tools and executions, the last."""
    if opener in _REALTIME_OPENERS:
        return Condition.REALTIME_SESSIONS_TERMINAL
    for prefix, condition in _CONDITION_OF_PREFIX.items():
        if opener.startswith(prefix):
            return condition
    return Condition.JOURNAL_TERMINAL


_CONDITIONS = {opener: _condition_of(opener) for opener in _REALTIME_OPENERS | _FEATURE_OPENERS}


@dataclass(slots=True)
class _Session:
    """`started` and `ended` are the conversation's words; the phase is the provider boundary's."""

    phase: Phase = Phase.IDLE
    moved: Fact | None = None
    started: Fact | None = None
    ended: bool = False
    gated: dict[str, Fact] = field(default_factory=dict[str, Fact])

    @property
    def waits_for(self) -> Fact | None:
        """The record that keeps it from being over."""
        if self.gated:
            return next(iter(self.gated.values()))
        if self.phase not in _AT_REST:
            return self.moved
        return None if self.ended else self.started


class Completion:
    """The fold of one run's records, in order from the first. Each takes the same short time.

    Attributes:
        seq: The last record folded.
        seal: The run's last record, once it is there.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.seal: Fact | None = None
        self._open: dict[str, Fact] = {}
        self._in_doubt: dict[str, Fact] = {}
        self._sessions: dict[str, _Session] = {}
        self._visible: Fact | None = None
        self._strange: Fact | None = None

    def add(self, fact: Fact) -> None:
        """Fold one record.

        Raises:
            ReplayMismatch: it cannot follow: a record is missing, or the run was sealed before.
        """
        if fact.seq != self.seq + 1:
            raise ReplayMismatch(f"record {fact.seq} cannot follow record {self.seq}")
        kind = fact.kind
        if self.seal is not None and kind not in AFTER_SEAL:
            raise ReplayMismatch(f"{fact} follows {self.seal}, the run's last record")
        self.seq = fact.seq
        if kind in SEALS:
            self.seal = fact
        elif kind in _CONDITIONS:
            self._open[fact.op_id or ""] = fact
        elif kind in _CLOSERS:
            self._open.pop(fact.op_id or "", None)
            if kind in _DOUBTS:
                self._in_doubt[fact.op_id or ""] = fact
        elif kind in _RECONCILIATIONS:
            self._in_doubt.pop(fact.op_id or "", None)
        elif kind not in RECORD_TYPES and self._strange is None:
            self._strange = fact
        if kind in _VISIBLE:
            self._visible = fact
        if fact.session_id is not None:
            self._add_to_session(fact, fact.session_id)

    def _add_to_session(self, fact: Fact, session_id: str) -> None:
        steps = _PHASES.get(fact.kind)
        if steps is None and fact.kind not in (records.SessionStarted.kind, records.SessionEnded.kind):
            return
        session = self._sessions.setdefault(session_id, _Session())
        if steps is None:
            if fact.kind == records.SessionStarted.kind:
                session.started = fact
            else:
                session.ended = True
            return
        phase = steps.get(session.phase, session.phase)
        if phase is not session.phase:
            session.phase, session.moved = phase, fact
        if fact.frame_id is None:
            return
        if fact.kind in _LEAVES_GATE:
            session.gated.pop(fact.frame_id, None)
        else:
            session.gated[fact.frame_id] = fact

    @property
    def may_seal(self) -> bool:
        """Nothing is open, in doubt or waiting, and the run has no last record yet."""
        return self.seal is None and not self.is_busy

    @property
    def is_busy(self) -> bool:
        """Whether something in the run has not come to its end."""
        if self._open or self._in_doubt or self._strange is not None:
            return True
        return any(session.waits_for is not None for session in self._sessions.values())

    @property
    def output_seen(self) -> bool:
        """Whether what the run had to say has been seen; a run that did not succeed need not say more."""
        if self._visible is not None:
            return True
        return self.seal is not None and self.seal.kind != records.RunCompleted.kind

    def unfinished(self) -> list[Unmet]:
        """What keeps the run from being sealed: the first reason of each condition."""
        found: dict[Condition, Unmet] = {}
        for unmet in self._reasons():
            found.setdefault(unmet.condition, unmet)
        return list(found.values())

    def _reasons(self) -> list[Unmet]:
        sessions = Condition.REALTIME_SESSIONS_TERMINAL
        reasons = [
            Unmet(_CONDITIONS[fact.kind], f"{fact} has no outcome yet.", fact) for fact in self._open.values()
        ]
        reasons += [
            Unmet(sessions, f"Nobody has said what became of {fact}; reconcile it.", fact)
            for fact in self._in_doubt.values()
        ]
        for session_id, session in self._sessions.items():
            if (fact := session.waits_for) is not None:
                reasons.append(Unmet(sessions, _why(session_id, session, fact), fact))
        if (fact := self._strange) is not None:
            sentence = f"Record {fact.seq} is of a kind that this version does not know, so it may be open."
            reasons.append(Unmet(Condition.JOURNAL_TERMINAL, sentence, fact))
        return reasons


def _why(session_id: str, session: _Session, fact: Fact) -> str:
    if session.gated:
        return f"A frame of session {session_id} still waits behind the gate since {fact}."
    if session.phase not in _AT_REST:
        return f"Session {session_id} is {session.phase} since {fact} and was not closed."
    return f"Session {session_id} began with {fact} and has no session_ended."
