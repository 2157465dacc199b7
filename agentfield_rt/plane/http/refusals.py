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


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered to whoever asked."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict[str, str])


def refusal_of(error: Exception) -> Refusal:
    """The answer that an error of the runtime, of the plane or of the journal becomes."""
    if isinstance(error, PlaneError):
        headers: dict[str, str] = {}
        if isinstance(error, Busy) and error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        return Refusal(error.status, {"error": str(error), **error.details}, headers)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return Refusal(status, {"error": str(error)})
