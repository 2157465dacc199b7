"""What the provider sends (OpenAI Realtime: server events). Shapes and decoding; decides nothing.

Only the fields that are read are decoded; unknown fields and unknown events are the provider's right.
"""

import re
from typing import Any

import msgspec

from agentfield_adapters.lenient import NOTHING, UNREADABLE

_NAME = re.compile(r"[a-z0-9_.]{1,96}")


class ServerEvent(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """Base of every event this adapter reads."""


class SessionInfo(msgspec.Struct, frozen=True, gc=False):
    """The part of a session object that is read."""

    id: str | None = None
    expires_at: Any = None


class SessionCreated(ServerEvent, frozen=True, gc=False, tag="session.created"):
    """The first event of a new session."""

    session: SessionInfo = SessionInfo()


class SessionUpdated(ServerEvent, frozen=True, gc=False, tag="session.updated"):
    """A `session.update` was taken, as a whole; `session` is what holds now."""

    session: dict[str, Any] = {}


class ErrorBody(msgspec.Struct, frozen=True, gc=False):
    """`event_id` names the client event that was refused. The message is content: never shown, never kept."""

    code: str | None = None
    message: str = ""
    event_id: str | None = None


class Error(ServerEvent, frozen=True, gc=False, tag="error"):
    """Something was refused; most errors leave the session as it was."""

    error: ErrorBody


class TranscriptionDelta(
    ServerEvent, frozen=True, gc=False, tag="conversation.item.input_audio_transcription.delta"
):
    """Some words of the user."""

    item_id: str
    delta: str | None = None


class TranscriptionCompleted(
    ServerEvent, frozen=True, gc=False, tag="conversation.item.input_audio_transcription.completed"
):
    """A whole turn of the user, maybe long after the answer began."""

    item_id: str
    transcript: str
    usage: msgspec.Raw = NOTHING


class TranscriptionFailed(
    ServerEvent, frozen=True, gc=False, tag="conversation.item.input_audio_transcription.failed"
):
    """A turn that could not be put into words."""

    item_id: str


class SpeechStarted(ServerEvent, frozen=True, gc=False, tag="input_audio_buffer.speech_started"):
    """The user speaks."""

    item_id: str


class SpeechStopped(ServerEvent, frozen=True, gc=False, tag="input_audio_buffer.speech_stopped"):
    """The user is silent."""

    item_id: str


class DigitDialled(ServerEvent, frozen=True, gc=False, tag="input_audio_buffer.dtmf_event_received"):
    """The caller pressed a key of their telephone (SIP)."""

    event: str


class PlaybackStarted(ServerEvent, frozen=True, gc=False, tag="output_audio_buffer.started"):
    """WebRTC: the caller begins to hear a response."""

    response_id: str


class PlaybackStopped(ServerEvent, frozen=True, gc=False, tag="output_audio_buffer.stopped"):
    """WebRTC: a response was played to its end."""

    response_id: str


class PlaybackCleared(ServerEvent, frozen=True, gc=False, tag="output_audio_buffer.cleared"):
    """WebRTC: a response was cut off while it played."""

    response_id: str


class ResponseInfo(msgspec.Struct, frozen=True, gc=False):
    """The part of a response object that is read."""

    id: str
    status: str | None = None
    metadata: dict[str, Any] | None = None
    status_details: msgspec.Raw = NOTHING
    usage: msgspec.Raw = NOTHING

    def tag(self, name: str) -> str | None:
        """A string from the metadata that this adapter, or someone else, put there."""
        value = (self.metadata or {}).get(name)
        return value if isinstance(value, str) else None


class ResponseCreated(ServerEvent, frozen=True, gc=False, tag="response.created"):
    """The provider began an answer."""

    response: ResponseInfo


class ResponseDone(ServerEvent, frozen=True, gc=False, tag="response.done"):
    """The provider ended an answer, one way or another."""

    response: ResponseInfo


class AudioDelta(ServerEvent, frozen=True, gc=False, tag="response.output_audio.delta"):
    """Audio in the session's output format, base64 on the wire."""

    response_id: str
    item_id: str
    delta: bytes
    content_index: int = 0


class TranscriptDelta(ServerEvent, frozen=True, gc=False, tag="response.output_audio_transcript.delta"):
    """Words that are spoken."""

    response_id: str
    item_id: str
    delta: str


class TextDelta(ServerEvent, frozen=True, gc=False, tag="response.output_text.delta"):
    """Words that are written."""

    response_id: str
    item_id: str
    delta: str


class Item(msgspec.Struct, frozen=True, gc=False):
    """An output item; the last three fields are those of a function call."""

    type: str
    status: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class OutputItemDone(ServerEvent, frozen=True, gc=False, tag="response.output_item.done"):
    """A message or function call of a response is finished; `status` says whether it is whole."""

    response_id: str
    item: Item


class ContentPart(msgspec.Struct, frozen=True, gc=False):
    """A part of a message, by its kind only."""

    type: str


class AddedItem(msgspec.Struct, frozen=True, gc=False):
    """An item that is new in the conversation, whoever made it."""

    id: str
    type: str
    role: str | None = None
    content: tuple[ContentPart, ...] | None = None
    arguments: str | None = None

    @property
    def kind(self) -> str:
        """What it is, as the journal may say it: `function_call_output`, or of a message its role."""
        return plain(self.type if self.role is None else self.role)


class ItemAdded(ServerEvent, frozen=True, gc=False, tag="conversation.item.added"):
    """The conversation has a new item."""

    item: AddedItem


class ItemTruncated(ServerEvent, frozen=True, gc=False, tag="conversation.item.truncated"):
    """The conversation forgot what lies behind `audio_end_ms`."""

    item_id: str
    audio_end_ms: int


class ItemDeleted(ServerEvent, frozen=True, gc=False, tag="conversation.item.deleted"):
    """The conversation forgot an item."""

    item_id: str


class RateLimitsUpdated(ServerEvent, frozen=True, gc=False, tag="rate_limits.updated"):
    """How near this account is to its limits. Comes after most responses."""

    rate_limits: msgspec.Raw = NOTHING


class Unread(msgspec.Struct, frozen=True, gc=False):
    """An event this adapter has no use for."""

    name: str


ReadEvent = (
    SessionCreated
    | SessionUpdated
    | Error
    | TranscriptionDelta
    | TranscriptionCompleted
    | TranscriptionFailed
    | SpeechStarted
    | SpeechStopped
    | DigitDialled
    | PlaybackStarted
    | PlaybackStopped
    | PlaybackCleared
    | ResponseCreated
    | ResponseDone
    | AudioDelta
    | TranscriptDelta
    | TextDelta
    | OutputItemDone
    | ItemAdded
    | ItemTruncated
    | ItemDeleted
    | RateLimitsUpdated
)


class MalformedEvent(Exception):
    """Not JSON, or an event whose fields are not what the protocol says; `name` is its type where known."""

    def __init__(self, name: str) -> None:
        super().__init__(f"malformed event {name}")
        self.name = name


class _Header(msgspec.Struct, frozen=True, gc=False):
    type: str


_TAGS = frozenset(str(member.__struct_config__.tag) for member in ReadEvent.__args__)
_events: msgspec.json.Decoder[ReadEvent] = msgspec.json.Decoder(ReadEvent)
_headers = msgspec.json.Decoder(_Header)


def decode(data: bytes) -> ReadEvent | Unread:
    """Decode one frame.

    Raises:
        MalformedEvent: it cannot be read; the next one may be fine.
    """
    try:
        return _events.decode(data)
    except UNREADABLE:
        name = name_in(data)
    # The exception would carry the provider's text; only the name of the event goes on.
    if name in _TAGS or name == UNKNOWN:
        raise MalformedEvent(name)
    return Unread(name)


UNKNOWN = "unknown"


def plain(name: str | None) -> str:
    """A name the provider chose, if it looks like one: anything else may be content and becomes `unknown`."""
    return name if name is not None and _NAME.fullmatch(name) else UNKNOWN


def name_in(data: bytes) -> str:
    """The name of the event in a frame, which may be malformed otherwise."""
    try:
        return plain(_headers.decode(data).type)
    except UNREADABLE:
        return UNKNOWN


def name_of(event: ReadEvent) -> str:
    """The event's name on the wire."""
    return str(event.__struct_config__.tag)
