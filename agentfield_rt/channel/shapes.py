"""What messages of both directions are made of."""

from enum import StrEnum
from typing import Any

import msgspec

from agentfield_rt.core.records import TurnSource
from agentfield_rt.errors import Reason


class OutcomeStatus(StrEnum):
    """How an execution ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


class Fault(StrEnum):
    """What kind of refusal a request met; each end raises its own error for it."""

    ILLEGAL = "illegal"
    INVALID = "invalid"
    CLOSED = "closed"
    EXECUTION = "execution"
    PROVIDER = "provider"
    UNSUPPORTED = "unsupported"
    REPAIR = "repair"
    OVERFLOW = "overflow"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class Failure(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Why a request did not succeed.

    Attributes:
        message: For the author of the agent.
        reason: A word of the runtime's vocabulary, where there is one.
        ids: Of a failed execution, its id; of what needs a repair, the operations in doubt.
        not_done: It certainly had no effect.
        error: What a failed execution said of its failure itself.
    """

    fault: Fault
    message: str
    reason: Reason | None = None
    ids: tuple[str, ...] = ()
    not_done: bool = True
    error: str | None = None


class GivenTurn(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What the user said, complete."""

    id: str
    text: str
    understood: bool = True
    source: TurnSource = TurnSource.SPEECH


class SpokenLine(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Something that was said: `by` is user or assistant, `id` the turn, utterance or response."""

    by: str
    id: str
    text: str


class Place(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Where an execution belongs in the workflow. No run: it begins one."""

    run_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    actor_id: str | None = None
    parent_execution_id: str | None = None


class HandlerFailure(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """How a handler failed: the error's class and where it was raised. Never its text: it may be content."""

    error: str
    place: str = ""
    session_closed: bool = False


Json = Any
"""Any JSON value."""
