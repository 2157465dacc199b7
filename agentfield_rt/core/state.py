"""What a session is, as far as its journal tells. A value: `evolve` makes the next one."""

from collections.abc import Mapping

import msgspec

from agentfield_rt.core.lifecycle import OperationName, Phase
from agentfield_rt.core.records import Limits
from agentfield_rt.core.records.realtime import DEFAULT_LIMITS
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import Media

_OPEN = Phase.OPEN  # read for every frame, and a member is slow to read off its class in Python 3.11


class OpenOperation(msgspec.Struct, frozen=True, gc=False):
    """An opener without a closer, or one whose closer said *unknown*."""

    op_id: str
    name: OperationName
    generation: int
    media: Media | None = None
    frames_max: int = 1
    response_id: str | None = None
    close_reason: CloseReason | None = None


class GatedFrame(msgspec.Struct, frozen=True, gc=False):
    """A frame that waits for the connection to come back."""

    frame_id: str
    media: Media
    size_bytes: int


class ResponseState(msgspec.Struct, frozen=True, gc=False):
    """A response this session has seen."""

    generating: bool = True
    interrupted: bool = False


RESPONSES_MAX = 16
"""Responses remembered. Older ones can no longer be interrupted; nothing of them can still be playing."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of a session's records.

    Attributes:
        connection_ids: Of all connections so far; none comes twice.
        generation: How many connections there were before this one; fences late outcomes.
        operations_total: Operations ever opened; the next one's id counts on from here.
        open_operations: By operation id, in the order they were opened.
        unknown: Operations whose outcome is unknown and not reconciled: the *repair* overlay.
        send_cursor: Frames the provider took. Never decreases, not even across a restart.
        receive_cursor: Provider events received.
        gated: Frames behind the gate, oldest first.
        gate_full: The gate was full and has not emptied to its low water since.
        restarts_begun: Connections begun after the first; `restart_count` are those that came about.
        responses: The last `RESPONSES_MAX` responses, oldest first.
    """

    session_id: str
    limits: Limits = DEFAULT_LIMITS
    phase: Phase = Phase.IDLE
    last_operation: OperationName | None = None
    connection_ids: tuple[str, ...] = ()
    generation: int = 0
    operations_total: int = 0
    open_operations: Mapping[str, OpenOperation] = {}
    unknown: Mapping[str, OpenOperation] = {}
    send_cursor: int = 0
    receive_cursor: int = 0
    restart_count: int = 0
    restarts_begun: int = 0
    gated: tuple[GatedFrame, ...] = ()
    gate_full: bool = False
    gated_total: int = 0
    released_total: int = 0
    dropped_total: int = 0
    responses: Mapping[str, ResponseState] = {}
    close_reason: CloseReason | None = None

    @property
    def connection_id(self) -> str | None:
        """The latest connection's."""
        return self.connection_ids[-1] if self.connection_ids else None

    @property
    def needs_repair(self) -> bool:
        return bool(self.unknown)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that takes frames."""
        return self.phase is _OPEN

    @property
    def is_restarting(self) -> bool:
        """Whether a connection is still wanted in place of the old one."""
        return self.phase is Phase.RESTARTING

    @property
    def flows(self) -> bool:
        """Whether a frame goes straight to the provider: nothing waits before it and nothing is in doubt."""
        return self.phase is _OPEN and not self.gated and not self.unknown

    @property
    def releases(self) -> bool:
        """Whether frames wait that may go to the provider now."""
        return self.phase is _OPEN and bool(self.gated) and not self.unknown

    def open_named(self, name: OperationName) -> OpenOperation | None:
        """The oldest open operation of this name."""
        for operation in self.open_operations.values():
            if operation.name is name:
                return operation
        return None
