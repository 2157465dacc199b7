"""The one table: which command a phase allows, which record leads where, who closes whom.

Everything that relates phases, commands and records stands here; the diagram in the docs is drawn
from it and part of the tests is generated from it.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from agentfield_rt.core import commands, records
from agentfield_rt.core.records import Record


class Phase(StrEnum):
    """Where a session is in its life. What it did last is another field (`State.last_operation`)."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    RESTARTING = "restarting"
    DEGRADED = "degraded"
    CLOSING = "closing"
    CLOSED = "closed"
    DETACHED = "detached"
    FAILED = "failed"


TERMINAL = frozenset({Phase.CLOSED, Phase.DETACHED, Phase.FAILED})
GATED = frozenset({Phase.RESTARTING, Phase.DEGRADED})
"""Phases in which nothing reaches the provider."""


class OperationName(StrEnum):
    """What an adapter can be asked to do."""

    CONNECT = "connect"
    SEND = "send"
    RECEIVE = "receive"
    INTERRUPT = "interrupt"
    REFER = "refer"
    RESTART = "restart"
    CLOSE = "close"


class Outcome(Enum):
    """How an operation ended."""

    DONE = "done"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Operation:
    """An opener and its possible closers.

    Attributes:
        alone: At most one at a time; of `send`, one of audio and one of everything else.
        repair: An unknown outcome blocks the session until somebody reconciles it. An operation
            that may simply be done again does not need that.
    """

    opener: type[Record]
    done: type[Record]
    not_done: type[Record]
    unknown: type[Record]
    alone: bool = True
    repair: bool = True


OPERATIONS = {
    OperationName.CONNECT: Operation(
        records.ConnectRequested, records.Connected, records.ConnectFailed, records.ConnectUnknown
    ),
    OperationName.SEND: Operation(
        records.InputSendRequested, records.InputSent, records.InputSendFailed, records.InputSendUnknown
    ),
    # A receive has no effect on the other side, so one that failed or was lost may be asked again.
    OperationName.RECEIVE: Operation(
        records.OutputReceiveRequested,
        records.OutputReceived,
        records.OutputReceiveFailed,
        records.OutputReceiveFailed,
        repair=False,
    ),
    OperationName.INTERRUPT: Operation(
        records.InterruptRequested,
        records.Interrupted,
        records.InterruptFailed,
        records.InterruptUnknown,
        alone=False,
        repair=False,
    ),
    OperationName.REFER: Operation(
        records.ReferRequested, records.Referred, records.ReferFailed, records.ReferUnknown
    ),
    OperationName.RESTART: Operation(
        records.RestartStarted, records.RestartCompleted, records.RestartFailed, records.RestartUnknown
    ),
    OperationName.CLOSE: Operation(
        records.CloseRequested, records.Closed, records.CloseFailed, records.CloseUnknown
    ),
}

OPENS = {operation.opener: name for name, operation in OPERATIONS.items()}
CLOSES: dict[type[Record], tuple[OperationName, Outcome]] = {
    records.OutputReceiveEmpty: (OperationName.RECEIVE, Outcome.DONE),
    records.Detached: (OperationName.CLOSE, Outcome.DONE),
}
for _name, _operation in OPERATIONS.items():
    CLOSES[_operation.unknown] = (_name, Outcome.UNKNOWN)
    CLOSES[_operation.not_done] = (_name, Outcome.NOT_DONE)
    CLOSES[_operation.done] = (_name, Outcome.DONE)

_LIVE = (Phase.CONNECTING, Phase.OPEN, Phase.RESTARTING, Phase.DEGRADED, Phase.CLOSING)
_CONNECTED = (Phase.OPEN, Phase.RESTARTING, Phase.DEGRADED, Phase.CLOSING)


def _stays(*phases: Phase) -> dict[Phase, Phase]:
    return {phase: phase for phase in phases}


def _leads_to(target: Phase, *phases: Phase) -> dict[Phase, Phase]:
    return dict.fromkeys(phases, target)


# From a phase, by a record, to the next phase. What is not here contradicts the journal.
TRANSITIONS: dict[type[Record], dict[Phase, Phase]] = {
    records.ConnectRequested: {Phase.IDLE: Phase.CONNECTING},
    records.Connected: {Phase.CONNECTING: Phase.OPEN},
    records.ConnectFailed: {Phase.CONNECTING: Phase.IDLE},
    # There may be a connection that nobody holds: only a close gets out of here.
    records.ConnectUnknown: {Phase.CONNECTING: Phase.DEGRADED},
    records.InputSendRequested: _stays(Phase.OPEN),
    records.InputSent: _stays(*_CONNECTED),
    records.InputSendFailed: _stays(*_CONNECTED),
    records.InputSendUnknown: _stays(*_CONNECTED),
    records.OutputReceiveRequested: _stays(Phase.OPEN, Phase.RESTARTING),
    records.OutputReceived: _stays(*_CONNECTED),
    records.OutputReceiveEmpty: _stays(*_CONNECTED),
    records.OutputReceiveFailed: _stays(*_CONNECTED),
    records.OutputLate: _stays(*_CONNECTED),
    records.InterruptRequested: _stays(Phase.OPEN, Phase.RESTARTING),
    records.Interrupted: _stays(*_CONNECTED),
    records.InterruptFailed: _stays(*_CONNECTED),
    records.InterruptUnknown: _stays(*_CONNECTED),
    records.ReferRequested: _stays(Phase.OPEN),
    records.Referred: _stays(*_CONNECTED),
    records.ReferFailed: _stays(*_CONNECTED),
    records.ReferUnknown: _stays(*_CONNECTED),
    records.RestartRequested: _stays(Phase.OPEN, Phase.DEGRADED),
    records.RestartStarted: _leads_to(Phase.RESTARTING, Phase.OPEN, Phase.DEGRADED),
    records.RestartCompleted: {Phase.RESTARTING: Phase.OPEN, Phase.CLOSING: Phase.CLOSING},
    records.ConversationRestored: _stays(Phase.OPEN, Phase.CLOSING),
    records.RestartFailed: {Phase.RESTARTING: Phase.DEGRADED, Phase.CLOSING: Phase.CLOSING},
    records.RestartUnknown: {Phase.RESTARTING: Phase.DEGRADED, Phase.CLOSING: Phase.CLOSING},
    records.CloseRequested: _leads_to(Phase.CLOSING, *_CONNECTED),
    records.Closed: {Phase.CLOSING: Phase.CLOSED},
    records.Detached: {Phase.CLOSING: Phase.DETACHED},
    records.EmergencyClosed: _leads_to(Phase.CLOSED, *_LIVE),
    records.CloseFailed: _stays(Phase.CLOSING),
    records.CloseUnknown: _stays(Phase.CLOSING),
    records.BackpressureApplied: _stays(Phase.OPEN, Phase.RESTARTING, Phase.DEGRADED),
    records.BackpressureReleased: _stays(Phase.OPEN),
    records.InputDropped: _stays(*_LIVE),
    records.ConnectionLost: {Phase.OPEN: Phase.DEGRADED} | _stays(Phase.RESTARTING),
    records.SessionFailed: _leads_to(Phase.FAILED, Phase.IDLE, *_LIVE),
    records.Reconciled: _stays(*Phase),
}


class Reaction(Enum):
    """What a command comes to in a phase that knows it."""

    ACT = "act"
    GATE = "gate"
    IGNORE = "ignore"


# Commands of the host. What is not here is refused: no record, no adapter call, state unchanged.
COMMANDS: dict[type[commands.Command], dict[Phase, Reaction]] = {
    commands.Connect: {Phase.IDLE: Reaction.ACT},
    commands.Send: {
        Phase.OPEN: Reaction.ACT,
        Phase.RESTARTING: Reaction.GATE,
        Phase.DEGRADED: Reaction.GATE,
    },
    commands.OpenWindow: {Phase.OPEN: Reaction.ACT},
    commands.Receive: dict.fromkeys((Phase.OPEN, Phase.RESTARTING), Reaction.ACT),
    commands.Interrupt: dict.fromkeys((Phase.OPEN, Phase.RESTARTING), Reaction.ACT),
    commands.Refer: {Phase.OPEN: Reaction.ACT},
    commands.Restart: dict.fromkeys((Phase.OPEN, Phase.DEGRADED), Reaction.ACT),
    commands.Release: {Phase.OPEN: Reaction.ACT},
    commands.Close: dict.fromkeys(_CONNECTED, Reaction.ACT) | dict.fromkeys(TERMINAL, Reaction.IGNORE),
    commands.LoseConnection: dict.fromkeys((Phase.OPEN, Phase.RESTARTING), Reaction.ACT)
    | dict.fromkeys(
        (Phase.IDLE, Phase.CONNECTING, Phase.DEGRADED, Phase.CLOSING, *TERMINAL), Reaction.IGNORE
    ),
    commands.Fail: dict.fromkeys((Phase.IDLE, *_LIVE), Reaction.ACT)
    | dict.fromkeys(TERMINAL, Reaction.IGNORE),
    commands.Recover: dict.fromkeys(_LIVE, Reaction.ACT)
    | dict.fromkeys((Phase.IDLE, *TERMINAL), Reaction.IGNORE),
    commands.EmergencyClosed: dict.fromkeys(_LIVE, Reaction.ACT)
    | dict.fromkeys((Phase.IDLE, *TERMINAL), Reaction.IGNORE),
    commands.Reconcile: dict.fromkeys(Phase, Reaction.ACT),
}

REPAIRABLE = frozenset(
    {
        commands.Receive,
        commands.Close,
        commands.LoseConnection,
        commands.Fail,
        commands.Recover,
        commands.EmergencyClosed,
        commands.Reconcile,
    }
)
"""Commands that stay allowed while an operation's outcome is unknown: they repeat no effect."""

FEATURE_OPERATIONS: dict[type[Record], tuple[type[Record], ...]] = {
    records.TurnStarted: (records.TurnCompleted, records.TurnFailed),
    records.UtteranceRequested: (
        records.UtterancePlayed,
        records.UtteranceInterrupted,
        records.UtteranceFailed,
        records.UtteranceSkipped,
    ),
    records.ToolIntentRecorded: (records.ToolResultRecorded,),
    records.StreamInterventionRequested: (
        records.StreamInterventionApplied,
        records.StreamInterventionFailed,
    ),
    records.ExecutionQueued: (
        records.ExecutionSucceeded,
        records.ExecutionFailed,
        records.ExecutionCancelled,
    ),
    records.ApprovalRequested: (
        records.ApprovalGranted,
        records.ApprovalDenied,
        records.ApprovalExpired,
        records.ApprovalCancelled,
    ),
    records.OutputDispatchRequested: (
        records.OutputDispatchCompleted,
        records.OutputDispatchFailed,
        records.OutputDispatchReconciliationNeeded,
    ),
    records.RecordingStarted: (records.RecordingStored, records.RecordingFailed),
}
"""Operations above the provider boundary: the opener, and the records of which exactly one closes it."""

FEATURE_CLOSERS = frozenset(closer for closers in FEATURE_OPERATIONS.values() for closer in closers)

LOST_AS: dict[type[Record], type[Record]] = {
    records.TurnStarted: records.TurnFailed,
    records.UtteranceRequested: records.UtteranceFailed,
    records.ToolIntentRecorded: records.ToolResultRecorded,
    records.StreamInterventionRequested: records.StreamInterventionFailed,
    records.ExecutionQueued: records.ExecutionFailed,
    # Its clock died with the process, so nobody knows how long an answer could still be taken.
    records.ApprovalRequested: records.ApprovalExpired,
    records.OutputDispatchRequested: records.OutputDispatchReconciliationNeeded,
    # What was stored of it by then stays, and plays.
    records.RecordingStarted: records.RecordingFailed,
}
"""How an operation is closed whose process died; each takes the operation and a reason (`outcomes.lost`)."""

OPENERS: frozenset[type[Record]] = frozenset(OPENS) | frozenset(FEATURE_OPERATIONS)
"""Records of any feature that open an operation: a closer with the same `op_id` must follow."""
