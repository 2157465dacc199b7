"""What a client may send over the Realtime wire."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from agentfield_adapters.local.protocol.items import Item, ItemId
from agentfield_adapters.local.protocol.session import (
    AudioFormat,
    FunctionTool,
    OutputTokensMax,
    SessionPatch,
    ToolChoice,
    Voice,
)

EventId = Annotated[str, Meta(max_length=512)]
APPEND_BASE64_MAX = 20 * 1024 * 1024  # 15 MiB of audio


class ClientEvent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every event of a client may carry: an id that comes back when the event is refused."""

    event_id: EventId | UnsetType = UNSET


class SessionUpdate(ClientEvent, frozen=True, tag="session.update"):
    """OpenAI Realtime: `session.update`."""

    session: SessionPatch


class AudioAppend(ClientEvent, frozen=True, tag="input_audio_buffer.append"):
    """OpenAI Realtime: `input_audio_buffer.append`; `audio` is base64 in the session's input format."""

    audio: Annotated[str, Meta(max_length=APPEND_BASE64_MAX)]


class AudioCommit(ClientEvent, frozen=True, tag="input_audio_buffer.commit"):
    """OpenAI Realtime: `input_audio_buffer.commit`."""


class AudioClear(ClientEvent, frozen=True, tag="input_audio_buffer.clear"):
    """OpenAI Realtime: `input_audio_buffer.clear`."""


class ItemCreate(ClientEvent, frozen=True, tag="conversation.item.create"):
    """OpenAI Realtime: `conversation.item.create`; `previous_item_id` may be `root`."""

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class ItemRetrieve(ClientEvent, frozen=True, tag="conversation.item.retrieve"):
    """OpenAI Realtime: `conversation.item.retrieve`."""

    item_id: str


class ItemTruncate(ClientEvent, frozen=True, tag="conversation.item.truncate"):
    """OpenAI Realtime: `conversation.item.truncate`."""

    item_id: str
    content_index: Annotated[int, Meta(ge=0)]
    audio_end_ms: Annotated[int, Meta(ge=0)]


class ItemDelete(ClientEvent, frozen=True, tag="conversation.item.delete"):
    """OpenAI Realtime: `conversation.item.delete`."""

    item_id: str


class ResponseAudioOutput(Struct, frozen=True, forbid_unknown_fields=True):
    """`response.audio.output`."""

    format: AudioFormat | UnsetType = UNSET
    voice: Voice | UnsetType = UNSET


class ResponseAudio(Struct, frozen=True, forbid_unknown_fields=True):
    """`response.audio`."""

    output: ResponseAudioOutput | UnsetType = UNSET


class ItemReference(Struct, frozen=True, forbid_unknown_fields=True, tag="item_reference"):
    """An item of the conversation, named in the `input` of one response."""

    id: ItemId


class ResponseOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`response` of `response.create`: what this one answer does differently from the session."""

    audio: ResponseAudio | UnsetType = UNSET
    conversation: Literal["auto", "none"] | UnsetType = UNSET
    input: list[Item | ItemReference] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    max_output_tokens: OutputTokensMax | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    output_modalities: list[Literal["audio", "text"]] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    tools: list[FunctionTool] | UnsetType = UNSET


class ResponseCreate(ClientEvent, frozen=True, tag="response.create"):
    """OpenAI Realtime: `response.create`."""

    response: ResponseOptions = ResponseOptions()


class ResponseCancel(ClientEvent, frozen=True, tag="response.cancel"):
    """OpenAI Realtime: `response.cancel`."""

    response_id: str | UnsetType = UNSET


class OutputAudioClear(ClientEvent, frozen=True, tag="output_audio_buffer.clear"):
    """OpenAI Realtime, WebRTC only: `output_audio_buffer.clear`."""


AnyClientEvent = (
    SessionUpdate
    | AudioAppend
    | AudioCommit
    | AudioClear
    | ItemCreate
    | ItemRetrieve
    | ItemTruncate
    | ItemDelete
    | ResponseCreate
    | ResponseCancel
    | OutputAudioClear
)
