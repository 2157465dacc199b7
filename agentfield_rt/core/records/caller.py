"""What comes from a caller's side besides media."""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record


class CallerFault(StrEnum):
    """What is wrong with a message of a media stream."""

    FOREIGN_STREAM = "foreign_stream"
    """It names another stream."""
    MALFORMED = "malformed"
    """It cannot be read, or lacks what it is about."""
    OUT_OF_ORDER = "out_of_order"
    """The protocol allows it, but not now."""
    OVERSIZED = "oversized"
    REFUSED_OURS = "refused_ours"
    """The other side refused a message of ours."""
    REPEATED = "repeated"
    """Its number has been seen."""
    TOO_FAST = "too_fast"
    """It brings more audio than time has passed, or more digits than anybody can press."""
    UNKNOWN_EVENT = "unknown_event"
    """It is of a kind that is not known here."""
    UNSUPPORTED_MEDIA = "unsupported_media"
    """It announces audio that is not taken."""


class CallerMessageRefused(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A message of the caller's media stream was skipped; nothing of what it said was taken."""

    kind: ClassVar[str] = "caller_message_refused"
    fault: CallerFault
