"""The provider boundary: connect, send, receive, interrupt, restart, close, and the gate.

Fifteen kinds keep the names of the reference journal core; `_failed`, `_unknown` and the last
group are ours, so that every opener has a closer whatever happens.
"""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media


class GateAction(StrEnum):
    """What backpressure did with a frame."""

    GATE = "gate"


class Decision(StrEnum):
    """What somebody found out about an operation whose outcome was unknown."""

    DONE = "done"
    NOT_DONE = "not_done"
    ABANDONED = "abandoned"


class ConnectRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `connect`."""

    kind: ClassVar[str] = "realtime_connect_requested"
    op_id: str


class Connected(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_connected"
    op_id: str
    connection_id: str


class ConnectFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_connect_failed"
    op_id: str
    reason: Reason


class ConnectUnknown(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_connect_unknown"
    op_id: str
    reason: Reason


class InputSendRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `send` of one frame."""

    kind: ClassVar[str] = "realtime_input_send_requested"
    op_id: str
    frame_id: str
    media: Media
    size_bytes: int


class InputSent(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """`cursor` counts the frames of this session that the provider took."""

    kind: ClassVar[str] = "realtime_input_sent"
    op_id: str
    cursor: int


class InputSendFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_input_send_failed"
    op_id: str
    reason: Reason


class InputSendUnknown(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_input_send_unknown"
    op_id: str
    reason: Reason


class OutputReceiveRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `receive` of at most `demand` provider events."""

    kind: ClassVar[str] = "realtime_output_receive_requested"
    op_id: str
    demand: int


class OutputReceived(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What came: `cursor` counts all events of this session; responses that began or ended are named."""

    kind: ClassVar[str] = "realtime_output_received"
    op_id: str
    cursor: int
    events: tuple[str, ...] = ()
    size_bytes: int = 0
    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()


class OutputReceiveEmpty(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_output_receive_empty"
    op_id: str


class OutputReceiveFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_output_receive_failed"
    op_id: str
    reason: Reason


class OutputLate(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Output of an interrupted response came after all; nobody was given it."""

    kind: ClassVar[str] = "realtime_output_late"
    response_id: str
    count: int


class InterruptRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `interrupt`; of the response's audio the caller heard `heard_ms`, if we know."""

    kind: ClassVar[str] = "realtime_interrupt_requested"
    op_id: str
    response_id: str
    heard_ms: int | None = None


class Interrupted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_interrupted"
    op_id: str
    response_id: str


class InterruptFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_interrupt_failed"
    op_id: str
    reason: Reason


class InterruptUnknown(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_interrupt_unknown"
    op_id: str
    reason: Reason


class RestartRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Somebody wants a new connection. Always followed at once by `RestartStarted`."""

    kind: ClassVar[str] = "realtime_restart_requested"
    reason: Reason


class RestartStarted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `restart`; the gate is closed from here on."""

    kind: ClassVar[str] = "realtime_restart_started"
    op_id: str


class RestartCompleted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_restart_completed"
    op_id: str
    connection_id: str


class RestartFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_restart_failed"
    op_id: str
    reason: Reason


class RestartUnknown(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_restart_unknown"
    op_id: str
    reason: Reason


class CloseRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `close`; nothing is sent from here on."""

    kind: ClassVar[str] = "realtime_close_requested"
    op_id: str
    reason: CloseReason


class Closed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_closed"
    op_id: str
    reason: CloseReason


class CloseFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_close_failed"
    op_id: str
    reason: Reason


class CloseUnknown(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_close_unknown"
    op_id: str
    reason: Reason


class BackpressureApplied(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A frame waits behind the gate."""

    kind: ClassVar[str] = "realtime_backpressure_applied"
    frame_id: str
    media: Media
    size_bytes: int
    action: GateAction


class BackpressureReleased(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The oldest waiting frame leaves the gate to be sent."""

    kind: ClassVar[str] = "realtime_backpressure_released"
    frame_id: str


class InputDropped(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A waiting frame will never be sent."""

    kind: ClassVar[str] = "realtime_input_dropped"
    frame_id: str
    reason: Reason


class ConnectionLost(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The provider connection ended without being asked to."""

    kind: ClassVar[str] = "realtime_connection_lost"
    reason: Reason


class SessionFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The session is over without having been closed."""

    kind: ClassVar[str] = "realtime_failed"
    reason: Reason


class Reconciled(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Settles an operation whose outcome was unknown."""

    kind: ClassVar[str] = "realtime_reconciled"
    op_id: str
    decision: Decision


RealtimeRecord = (
    ConnectRequested
    | Connected
    | ConnectFailed
    | ConnectUnknown
    | InputSendRequested
    | InputSent
    | InputSendFailed
    | InputSendUnknown
    | OutputReceiveRequested
    | OutputReceived
    | OutputReceiveEmpty
    | OutputReceiveFailed
    | OutputLate
    | InterruptRequested
    | Interrupted
    | InterruptFailed
    | InterruptUnknown
    | RestartRequested
    | RestartStarted
    | RestartCompleted
    | RestartFailed
    | RestartUnknown
    | CloseRequested
    | Closed
    | CloseFailed
    | CloseUnknown
    | BackpressureApplied
    | BackpressureReleased
    | InputDropped
    | ConnectionLost
    | SessionFailed
    | Reconciled
)
