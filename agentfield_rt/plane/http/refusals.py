"""Errors as answers: whose fault each is, in the status; what would work, in the text."""

from dataclasses import dataclass, field
from typing import Any

from agentfield_journal import ContentGone, JournalConflict, JournalFull, JournalUnavailable
from agentfield_rt.errors import (
    GateOverflow,
    IllegalCommand,
    ProviderError,
    RecordingUnavailable,
    SessionClosed,
    TooManyTurns,
    UnsupportedTransport,
)
from agentfield_rt.memory import MemoryAccessError, MemoryFull, MemoryRefused
from agentfield_rt.plane.errors import Busy, PlaneError
from agentfield_rt.sdp import BadOffer

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (BadOffer, 400),
    (UnsupportedTransport, 400),
    (SessionClosed, 410),
    (ContentGone, 410),
    (IllegalCommand, 409),
    (TooManyTurns, 429),
    (GateOverflow, 503),
    (RecordingUnavailable, 503),
    (MemoryRefused, 400),
    (MemoryFull, 507),
    (MemoryAccessError, 503),
    (ProviderError, 502),
    (JournalConflict, 409),
    (JournalFull, 507),
    (JournalUnavailable, 503),
)


_RETRY_AFTER_S: dict[type[Exception], int] = {TooManyTurns: 1, GateOverflow: 1}
"""When the same may be taken, where that is soon: neither a handler nor a provider stays behind for long."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered to whoever asked."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict[str, str])


def refusal_of(error: Exception) -> Refusal:
    """The answer that an error of the runtime, of the plane or of the journal becomes."""
    retry_after_s = error.retry_after_s if isinstance(error, Busy) else _RETRY_AFTER_S.get(type(error))
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if isinstance(error, PlaneError):
        return Refusal(error.status, {"error": str(error), **error.details}, headers)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return Refusal(status, {"error": str(error)}, headers)
