"""The provider boundary: connect, send, receive, interrupt, restart, close, and the gate.

Fifteen kinds keep the names of the reference journal core; `_failed`, `_unknown` and the last
group are ours, so that every opener has a closer whatever happens.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

import msgspec

from agentfield_rt.core.records.record import Record
from agentfield_rt.core.records.referral import ReferFailed, Referred, ReferRequested, ReferUnknown
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media


class GateAction(StrEnum):
    """What backpressure did with a frame."""

    GATE = "gate"


class GatePolicy(StrEnum):
    """What happens to a frame that comes while the provider connection is being replaced.

    `gate`: it waits; where `high_water` frames wait it is refused, until they are `low_water` again.
    `block`: the same, but the sender waits instead of being refused.
    `drop_oldest_media`: the oldest waiting audio makes room for it.
    `fail_send`: no frame waits; it is refused.
    """

    GATE = "gate"
    BLOCK = "block"
    DROP_OLDEST_MEDIA = "drop_oldest_media"
    FAIL_SEND = "fail_send"


class Limits(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a session may ask of its provider connection; frozen when it connects.

    Attributes:
        high_water: Frames that may wait behind the gate; 512 are ten seconds of 20 ms audio.
        low_water: A gate that was full takes frames again when no more than these wait.
        restarts_max: Connections that may be begun after the first.
    """

    policy: GatePolicy = GatePolicy.GATE
    high_water: int = 512
    low_water: int = 384
    restarts_max: int = 16


DEFAULT_LIMITS = Limits()


class WindowTally(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The audio that flowed under one intent; `digest` is the SHA-256 of its PCM, in order."""

    frames: int
    size_bytes: int
    duration_ms: int
    digest: bytes


class Decision(StrEnum):
    """What somebody found out about an operation whose outcome was unknown."""

    DONE = "done"
    NOT_DONE = "not_done"
    ABANDONED = "abandoned"


class ConnectRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `connect`."""

    kind: ClassVar[str] = "realtime_connect_requested"
    op_id: str
    limits: Limits = DEFAULT_LIMITS


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
    """Opens `send`: of one frame, or of a window of at most `frames_max` frames of audio."""

    kind: ClassVar[str] = "realtime_input_send_requested"
    op_id: str
    media: Media
    frame_id: str | None = None
    size_bytes: int = 0
    frames_max: int = 1


class InputSent(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """`cursor` counts the frames of this session that the provider took, `window`'s included."""

    kind: ClassVar[str] = "realtime_input_sent"
    op_id: str
    cursor: int
    window: WindowTally | None = None


class InputSendFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The frame was not sent; of a window, the one after those of `window`, which were."""

    kind: ClassVar[str] = "realtime_input_send_failed"
    op_id: str
    reason: Reason
    window: WindowTally | None = None


class InputSendUnknown(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Nobody knows of the frame; of a window, of any up to `frames_max` after those of `window`."""

    kind: ClassVar[str] = "realtime_input_send_unknown"
    op_id: str
    reason: Reason
    window: WindowTally | None = None


class OutputReceiveRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `receive` of at most `demand` provider events."""

    kind: ClassVar[str] = "realtime_output_receive_requested"
    op_id: str
    demand: int


class OutputReceived(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What came: `cursor` counts all events of this session, `events` those of this operation by name.

    Responses that began or ended are named; `audio` is the assistant audio among the events.
    """

    kind: ClassVar[str] = "realtime_output_received"
    op_id: str
    cursor: int
    events: Mapping[str, int] = {}
    audio: WindowTally | None = None
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


class ConversationRestored(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A new connection was told what had been said before; in one batch with `RestartCompleted`.

    `restored` items it was told, `left_out` were too old or too long, or were refused. `attempt` counts the
    restarts that were tried for it, and `gap_ms` is how long that took. `answer_owed`: the answer to the last
    of them had been lost, and the model was asked for it again.
    """

    kind: ClassVar[str] = "realtime_conversation_restored"
    connection_id: str
    attempt: int
    restored: int
    gap_ms: int
    left_out: int = 0
    answer_owed: bool = False


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


class Detached(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The provider call was left to the host; this session has nothing to do with it any more."""

    kind: ClassVar[str] = "realtime_detached"
    op_id: str


class EmergencyClosed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The provider was hung up on while the journal took no records; written as soon as it did.

    `told`: whether the adapter confirmed it.
    """

    kind: ClassVar[str] = "realtime_emergency_closed"
    reason: CloseReason
    told: bool


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
    | ReferRequested
    | Referred
    | ReferFailed
    | ReferUnknown
    | RestartRequested
    | RestartStarted
    | RestartCompleted
    | ConversationRestored
    | RestartFailed
    | RestartUnknown
    | CloseRequested
    | Closed
    | Detached
    | EmergencyClosed
    | CloseFailed
    | CloseUnknown
    | BackpressureApplied
    | BackpressureReleased
    | InputDropped
    | ConnectionLost
    | SessionFailed
    | Reconciled
)
