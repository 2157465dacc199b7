"""What a session is, as far as its journal tells. A value: `evolve` makes the next one."""

from collections.abc import Mapping

import msgspec

from agentfield_rt.core.lifecycle import OperationName, Phase
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import Media


class OpenOperation(msgspec.Struct, frozen=True, gc=False):
    """An opener without a closer, or one whose closer said *unknown*."""

    op_id: str
    name: OperationName
    generation: int
    media: Media | None = None
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
        generation: How many connections there were before this one; fences late outcomes.
        operations_total: Operations ever opened; the next one's id counts on from here.
        open_operations: By operation id, in the order they were opened.
        unknown: Operations whose outcome is unknown and not reconciled: the *repair* overlay.
        send_cursor: Frames the provider took. Never decreases, not even across a restart.
        receive_cursor: Provider events received.
        gated: Frames behind the gate, oldest first.
        responses: The last `RESPONSES_MAX` responses, oldest first.
    """

    session_id: str
    phase: Phase = Phase.IDLE
    last_operation: OperationName | None = None
    connection_id: str | None = None
    generation: int = 0
    operations_total: int = 0
    open_operations: Mapping[str, OpenOperation] = {}
    unknown: Mapping[str, OpenOperation] = {}
    send_cursor: int = 0
    receive_cursor: int = 0
    restart_count: int = 0
    gated: tuple[GatedFrame, ...] = ()
    gated_total: int = 0
    released_total: int = 0
    dropped_total: int = 0
    responses: Mapping[str, ResponseState] = {}
    close_reason: CloseReason | None = None

    @property
    def needs_repair(self) -> bool:
        return bool(self.unknown)

    def open_named(self, name: OperationName) -> OpenOperation | None:
        """The oldest open operation of this name."""
        for operation in self.open_operations.values():
            if operation.name is name:
                return operation
        return None
