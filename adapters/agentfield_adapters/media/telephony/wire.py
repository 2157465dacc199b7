"""What messages of a media stream say, whatever the vendor calls it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol, TypeVar

import msgspec

from agentfield_rt.core.records.caller import CallerFault
from agentfield_rt.telephony import BadMessage

PAYLOAD_CHARS_MAX = 12 * 1024
"""Of one message's audio, in base64: more than a second."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is the vendor's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The stream begins; `encoding` is the vendor's word for the caller's audio."""

    call_id: str
    encoding: str
    rate_hz: int
    channels: int
    caller: str | None = None
    called: str | None = None
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Media:
    """A piece of audio; `chunk` counts the pieces of its track."""

    chunk: int
    payload: bytes
    is_callers: bool


@dataclass(frozen=True, slots=True)
class Dialled:
    """A key was pressed, at that second since the epoch if the vendor says."""

    digit: str
    at_s: float | None


@dataclass(frozen=True, slots=True)
class Marked:
    """A mark of ours was reached."""

    name: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream is over."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """The vendor did not like a message of ours."""


Event = Connected | Started | Media | Dialled | Marked | Stopped | Complaint


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message.

    Attributes:
        stream_id: Which stream it says it belongs to.
        sequence: Its number among the stream's messages; no two have the same.
    """

    event: Event
    stream_id: str | None = None
    sequence: int | None = None


class Dialect(Protocol):
    """How one vendor writes this."""

    def read(self, message: str) -> Incoming:
        """What a message says.

        Raises:
            BadMessage: it is not one of the vendor's.
        """
        ...

    def media(self, stream_id: str, payload: str) -> bytes:
        """A message that plays audio, in base64."""
        ...

    def mark(self, stream_id: str, name: str) -> bytes:
        """A message that sets a mark."""
        ...

    def clear(self, stream_id: str) -> bytes:
        """A message that throws away what was not played."""
        ...


class MediaPart(msgspec.Struct, gc=False):
    """The `media` of a message."""

    chunk: int
    payload: str
    track: str = "inbound"


class DigitPart(msgspec.Struct, gc=False):
    """The `dtmf` of a message."""

    digit: str


class MarkPart(msgspec.Struct, gc=False):
    """The `mark` of a message."""

    name: str


class Message(msgspec.Struct):
    """What is the same in every vendor's messages. Numbers may be written as strings."""

    event: str
    media: MediaPart | None = None
    dtmf: DigitPart | None = None
    mark: MarkPart | None = None
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


M = TypeVar("M")


def decoded(decoder: msgspec.json.Decoder[M], message: str) -> M:
    """A message's fields.

    Raises:
        BadMessage: it is no JSON, or its fields are not of their types.
    """
    try:
        return decoder.decode(message)
    except (msgspec.DecodeError, UnicodeEncodeError):  # the second: half of a surrogate pair
        raise BadMessage("a message is not what its vendor sends", CallerFault.MALFORMED) from None


def event_of(message: Message, started: Started | None) -> Event:
    """What a message tells.

    Args:
        started: What its `start` says, if it has one.

    Raises:
        BadMessage: it lacks what it is about, or is of a kind that is not known here.
    """
    event: Event
    match message.event:
        case "media":  # first, because most messages are
            media = _required(message.media)
            event = Media(media.chunk, _audio_of(media.payload), media.track == "inbound")
        case "mark":
            event = Marked(_required(message.mark).name)
        case "dtmf":
            at = message.occurred_at
            event = Dialled(_required(message.dtmf).digit, at.timestamp() if at is not None else None)
        case "connected":
            event = Connected()
        case "start":
            event = _required(started)
        case "stop":
            event = Stopped()
        case "error":
            event = Complaint()
        case _:
            raise BadMessage("a message is of a kind that is not known here", CallerFault.UNKNOWN_EVENT)
    return event


def _required(part: M | None) -> M:
    if part is None:
        raise BadMessage("a message lacks what it is about", CallerFault.MALFORMED)
    return part


def _audio_of(payload: str) -> bytes:
    if len(payload) > PAYLOAD_CHARS_MAX:
        raise BadMessage("a message holds more audio than is taken", CallerFault.OVERSIZED)
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage("a message's audio is no base64", CallerFault.MALFORMED) from None
