"""What this provider sends over the Realtime wire.

The `event_id` that every event carries is added when it is sent (`event_stream`): an event is a plain value.
Fields that may be null are sent as null; fields that may be absent are `UNSET`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from agentfield_adapters.local.protocol.dialling import DigitReceived
from agentfield_adapters.local.protocol.items import FunctionCall, Item, Message
from agentfield_adapters.local.protocol.session import AudioFormat, OutputTokensMax, Session, Voice


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """The `error` of an event or of an HTTP answer."""

    type: Literal["invalid_request_error", "server_error"]
    message: str
    code: str | None = None
    param: str | None = None
    event_id: str | UnsetType | None = UNSET


class ServerError(Struct, frozen=True, tag="error"):
    """A refused event of a client, or a fault of this provider."""

    error: ErrorDetail


class SessionCreated(Struct, frozen=True, tag="session.created"):
    """First event of a connection that made its session."""

    session: Session


class SessionUpdated(Struct, frozen=True, tag="session.updated"):
    """Answer to `session.update`, with the whole session."""

    session: Session


class ItemAdded(Struct, frozen=True, tag="conversation.item.added"):
    """An item is part of the conversation."""

    item: Item
    previous_item_id: str | None


class ItemDone(Struct, frozen=True, tag="conversation.item.done"):
    """An item will not change by itself any more."""

    item: Item
    previous_item_id: str | None


class ItemRetrieved(Struct, frozen=True, tag="conversation.item.retrieved"):
    """Answer to `conversation.item.retrieve`."""

    item: Item


class ItemDeleted(Struct, frozen=True, tag="conversation.item.deleted"):
    """Answer to `conversation.item.delete`."""

    item_id: str


class ItemTruncated(Struct, frozen=True, tag="conversation.item.truncated"):
    """An answer was cut to what was heard; its transcript is gone."""

    item_id: str
    content_index: int
    audio_end_ms: int


class DurationUsage(Struct, frozen=True, tag="duration"):
    """How much speech was recognised."""

    seconds: float


class TranscriptionDelta(Struct, frozen=True, tag="conversation.item.input_audio_transcription.delta"):
    """Words of a turn that is still being spoken; they are never taken back."""

    item_id: str
    content_index: int
    delta: str
    obfuscation: str


class TranscriptionCompleted(
    Struct, frozen=True, tag="conversation.item.input_audio_transcription.completed"
):
    """What a finished turn was understood as."""

    item_id: str
    content_index: int
    transcript: str
    usage: DurationUsage


class TranscriptionFailed(Struct, frozen=True, tag="conversation.item.input_audio_transcription.failed"):
    """Speech that fits nothing the recogniser listens for."""

    item_id: str
    content_index: int
    error: TranscriptionError


class TranscriptionError(Struct, frozen=True):
    """Why a turn has no transcript."""

    message: str
    type: str = "transcription_error"
    code: str = "audio_unintelligible"
    param: None = None


class BufferCommitted(Struct, frozen=True, tag="input_audio_buffer.committed"):
    """The caller's audio became an item."""

    item_id: str
    previous_item_id: str | None


class BufferCleared(Struct, frozen=True, tag="input_audio_buffer.cleared"):
    """Answer to `input_audio_buffer.clear`."""


class SpeechStarted(Struct, frozen=True, tag="input_audio_buffer.speech_started"):
    """The caller speaks; milliseconds of the session's audio, padding subtracted."""

    audio_start_ms: int
    item_id: str


class SpeechStopped(Struct, frozen=True, tag="input_audio_buffer.speech_stopped"):
    """The caller has been silent for long enough."""

    audio_end_ms: int
    item_id: str


class OutputBufferStarted(Struct, frozen=True, tag="output_audio_buffer.started"):
    """WebRTC: the first audio of a response is on its way."""

    response_id: str


class OutputBufferStopped(Struct, frozen=True, tag="output_audio_buffer.stopped"):
    """WebRTC: the last audio of a response has been played."""

    response_id: str


class OutputBufferCleared(Struct, frozen=True, tag="output_audio_buffer.cleared"):
    """WebRTC: audio that waited to be played was dropped."""

    response_id: str


class StatusDetails(Struct, frozen=True, kw_only=True):
    """Why a response ended as it did."""

    type: Literal["cancelled", "incomplete", "failed"]
    reason: str | UnsetType = UNSET
    error: dict[str, str] | UnsetType = UNSET


class InputTokens(Struct, frozen=True):
    """Tokens read; one per word here."""

    text_tokens: int
    audio_tokens: int
    image_tokens: int = 0
    cached_tokens: int = 0


class OutputTokens(Struct, frozen=True):
    """Tokens written; one per word here."""

    text_tokens: int
    audio_tokens: int


class Usage(Struct, frozen=True, kw_only=True):
    """What a response cost."""

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: InputTokens
    output_token_details: OutputTokens


class ResponseVoice(Struct, frozen=True):
    """`audio.output` of a response: the session's, without the speed."""

    format: AudioFormat
    voice: Voice


class ResponseAudioReport(Struct, frozen=True):
    """`audio` of a response."""

    output: ResponseVoice


class Response(Struct, frozen=True, kw_only=True):
    """One answer of the assistant, as far as it has come."""

    id: str
    status: Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]
    status_details: StatusDetails | None
    output: list[Item]
    conversation_id: str | None
    output_modalities: tuple[str, ...]
    max_output_tokens: OutputTokensMax
    audio: ResponseAudioReport
    usage: Usage | None
    metadata: dict[str, str] | None
    object: Literal["realtime.response"] = "realtime.response"


class ResponseCreated(Struct, frozen=True, tag="response.created"):
    """An answer has begun."""

    response: Response


class ResponseDone(Struct, frozen=True, tag="response.done"):
    """An answer has ended, one way or another."""

    response: Response


class OutputItemAdded(Struct, frozen=True, tag="response.output_item.added"):
    """An item of an answer has begun."""

    response_id: str
    output_index: int
    item: Message | FunctionCall


class OutputItemDone(Struct, frozen=True, tag="response.output_item.done"):
    """An item of an answer is complete, or was cut short."""

    response_id: str
    output_index: int
    item: Message | FunctionCall


class TextPart(Struct, frozen=True, tag="text"):
    """A part while it is made; the finished item calls it `output_text`."""

    text: str


class AudioPart(Struct, frozen=True, tag="audio"):
    """A part while it is made; the finished item calls it `output_audio`."""

    transcript: str


class PartEvent(Struct, frozen=True):
    """Where in a response something happens."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


class ContentPartAdded(PartEvent, frozen=True, tag="response.content_part.added"):
    """A part has begun."""

    part: TextPart | AudioPart


class ContentPartDone(PartEvent, frozen=True, tag="response.content_part.done"):
    """A part has ended."""

    part: TextPart | AudioPart


class TextDelta(PartEvent, frozen=True, tag="response.output_text.delta"):
    """Words of a written answer."""

    delta: str
    obfuscation: str


class TextDone(PartEvent, frozen=True, tag="response.output_text.done"):
    """A written answer as far as it came."""

    text: str


class AudioDelta(PartEvent, frozen=True, tag="response.output_audio.delta"):
    """Speech, base64 in the response's output format."""

    delta: str


class AudioDone(PartEvent, frozen=True, tag="response.output_audio.done"):
    """No more speech for this part."""


class TranscriptDelta(PartEvent, frozen=True, tag="response.output_audio_transcript.delta"):
    """A word of a spoken answer."""

    delta: str
    obfuscation: str


class TranscriptDone(PartEvent, frozen=True, tag="response.output_audio_transcript.done"):
    """The words of a spoken answer as far as it came."""

    transcript: str


class ArgumentsDelta(Struct, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"):
    """A piece of a function call's arguments."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str
    obfuscation: str


class ArgumentsDone(Struct, frozen=True, kw_only=True, tag="response.function_call_arguments.done"):
    """A function call's arguments, complete."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


class RateLimit(Struct, frozen=True):
    """One advisory limit."""

    name: str
    limit: int
    remaining: int
    reset_seconds: float


class RateLimitsUpdated(Struct, frozen=True, tag="rate_limits.updated"):
    """Sent after every response; nothing is limited here."""

    rate_limits: list[RateLimit]


ServerEvent = (
    ServerError
    | SessionCreated
    | SessionUpdated
    | ItemAdded
    | ItemDone
    | ItemRetrieved
    | ItemDeleted
    | ItemTruncated
    | TranscriptionDelta
    | TranscriptionCompleted
    | TranscriptionFailed
    | BufferCommitted
    | BufferCleared
    | SpeechStarted
    | SpeechStopped
    | DigitReceived
    | OutputBufferStarted
    | OutputBufferStopped
    | OutputBufferCleared
    | ResponseCreated
    | ResponseDone
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | TextDelta
    | TextDone
    | AudioDelta
    | AudioDone
    | TranscriptDelta
    | TranscriptDone
    | ArgumentsDelta
    | ArgumentsDone
    | RateLimitsUpdated
)
