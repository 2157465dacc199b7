"""What a session may be asked to do, and what its adapter calls came to. Plain values."""

from dataclasses import dataclass

from agentfield_rt.core.records import Decision
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media


@dataclass(frozen=True, slots=True)
class Connect:
    """Open the provider connection."""


@dataclass(frozen=True, slots=True)
class Send:
    """Hand one frame to the provider, or let it wait behind the gate."""

    frame_id: str
    media: Media
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Receive:
    """Ask for at most `demand` provider events."""

    demand: int


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop a response of which the caller heard `heard_ms`."""

    response_id: str
    heard_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """Replace the provider connection."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Release:
    """Send the oldest frame that waits behind the gate."""


@dataclass(frozen=True, slots=True)
class Close:
    """Hang up."""

    reason: CloseReason


@dataclass(frozen=True, slots=True)
class LoseConnection:
    """The adapter found its connection gone."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Fail:
    """Give the session up without a close."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Say what became of an operation whose outcome was unknown."""

    op_id: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Connected:
    """`connect` or `restart` succeeded."""

    op_id: str
    connection_id: str


@dataclass(frozen=True, slots=True)
class Received:
    """`receive` brought events; `late` ones belong to interrupted responses and are not delivered."""

    op_id: str
    events: tuple[str, ...]
    size_bytes: int
    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    late: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """`send`, `interrupt` or `close` succeeded."""

    op_id: str


@dataclass(frozen=True, slots=True)
class NotDone:
    """The call certainly had no effect."""

    op_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether the call had its effect."""

    op_id: str
    reason: Reason


Command = (
    Connect
    | Send
    | Receive
    | Interrupt
    | Restart
    | Release
    | Close
    | LoseConnection
    | Fail
    | Reconcile
    | Connected
    | Received
    | Done
    | NotDone
    | Unknown
)
