"""What a session may be asked to do, and what its adapter calls came to. Plain values."""

from collections.abc import Mapping

import msgspec

from agentfield_rt.core.records import Decision, Limits, WindowTally
from agentfield_rt.core.records.realtime import DEFAULT_LIMITS
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media


class Connect(msgspec.Struct, frozen=True, gc=False):
    """Open the provider connection."""

    limits: Limits = DEFAULT_LIMITS


class Send(msgspec.Struct, frozen=True, gc=False):
    """Hand one frame to the provider, or let it wait behind the gate."""

    frame_id: str
    media: Media
    size_bytes: int


class OpenWindow(msgspec.Struct, frozen=True, gc=False):
    """Announce that at most `frames_max` frames of audio will flow to the provider."""

    frames_max: int


class Receive(msgspec.Struct, frozen=True, gc=False):
    """Ask for at most `demand` provider events."""

    demand: int


class Interrupt(msgspec.Struct, frozen=True, gc=False):
    """Stop a response of which the caller heard `heard_ms`."""

    response_id: str
    heard_ms: int | None = None


class Refer(msgspec.Struct, frozen=True, gc=False):
    """Let the caller's phone call go on at the target that stands in the content store."""

    target_ref: str


class Restart(msgspec.Struct, frozen=True, gc=False):
    """Replace the provider connection."""

    reason: Reason


class Release(msgspec.Struct, frozen=True, gc=False):
    """Send the oldest frame that waits behind the gate."""


class Close(msgspec.Struct, frozen=True, gc=False):
    """Hang up."""

    reason: CloseReason


class LoseConnection(msgspec.Struct, frozen=True, gc=False):
    """The adapter found its connection gone."""

    reason: Reason


class Fail(msgspec.Struct, frozen=True, gc=False):
    """Give the session up without a close."""

    reason: Reason


class Recover(msgspec.Struct, frozen=True, gc=False):
    """The process that held the connection is gone; what it was doing, nobody knows."""


class EmergencyClosed(msgspec.Struct, frozen=True, gc=False):
    """The adapter was closed while the journal took no records; `told`: the adapter confirmed it."""

    reason: CloseReason
    told: bool


class Reconcile(msgspec.Struct, frozen=True, gc=False):
    """Say what became of an operation whose outcome was unknown."""

    op_id: str
    decision: Decision


class Restored(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a new connection was told of the conversation (`records.ConversationRestored`)."""

    attempt: int
    restored: int
    left_out: int
    answer_owed: bool
    gap_ms: int


class Connected(msgspec.Struct, frozen=True, gc=False):
    """`connect` or `restart` succeeded; a restart may have `restored` the conversation."""

    op_id: str
    connection_id: str
    restored: Restored | None = None


class Flowed(msgspec.Struct, frozen=True, gc=False):
    """So much audio flowed through a window; with `renew`, the next one of so many frames follows."""

    op_id: str
    window: WindowTally
    renew: int = 0


class Received(msgspec.Struct, frozen=True, gc=False):
    """`receive` brought `events`, counted by name.

    `late` counts, by response, output of interrupted responses that was not delivered. With `renew`,
    the next receive of so many events follows.
    """

    op_id: str
    events: Mapping[str, int]
    audio: WindowTally | None = None
    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    late: Mapping[str, int] = {}
    renew: int = 0


class Done(msgspec.Struct, frozen=True, gc=False):
    """`send`, `interrupt`, `refer` or `close` succeeded."""

    op_id: str


class NotDone(msgspec.Struct, frozen=True, gc=False):
    """The call certainly had no effect; of a window, what flowed before it is in `window`."""

    op_id: str
    reason: Reason
    window: WindowTally | None = None


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """Nobody knows whether the call had its effect; of a window, what flowed for certain is in `window`."""

    op_id: str
    reason: Reason
    window: WindowTally | None = None


Command = (
    Connect
    | Send
    | OpenWindow
    | Receive
    | Interrupt
    | Refer
    | Restart
    | Release
    | Close
    | LoseConnection
    | Fail
    | Recover
    | EmergencyClosed
    | Reconcile
    | Connected
    | Flowed
    | Received
    | Done
    | NotDone
    | Unknown
)
