"""What this adapter sends (OpenAI Realtime: client events). Shapes and encoding; decides nothing."""

from hashlib import blake2s
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class ClientEvent(msgspec.Struct, frozen=True, gc=False, tag_field="type", kw_only=True):
    """Base of every event; the provider names `event_id` in the error that refuses it."""

    event_id: str | UnsetType = UNSET


class SessionUpdate(ClientEvent, frozen=True, gc=False, tag="session.update"):
    """Configure the session: taken or refused as a whole."""

    session: dict[str, Any]


class AudioAppend(ClientEvent, frozen=True, gc=False, tag="input_audio_buffer.append"):
    """User audio; base64 on the wire. Never acknowledged."""

    audio: bytes


class AudioCommit(ClientEvent, frozen=True, gc=False, tag="input_audio_buffer.commit"):
    """What was appended is a turn of the user. Starts no response."""


class InputText(msgspec.Struct, frozen=True, gc=False, tag="input_text", tag_field="type"):
    """Text of a user message."""

    text: str


class InputImage(msgspec.Struct, frozen=True, gc=False, tag="input_image", tag_field="type"):
    """A picture of a user message, as a data URI."""

    image_url: str
    detail: Literal["auto", "low", "high"] | UnsetType = UNSET


class UserMessage(msgspec.Struct, frozen=True, gc=False, tag="message", tag_field="type", kw_only=True):
    """Something the user typed or showed."""

    id: str | UnsetType = UNSET
    role: Literal["user"] = "user"
    content: tuple[InputText] | tuple[InputImage]


class OutputText(msgspec.Struct, frozen=True, gc=False, tag="output_text", tag_field="type"):
    """Text of an assistant message; the only content of one that a client may create."""

    text: str


class AssistantMessage(msgspec.Struct, frozen=True, gc=False, tag="message", tag_field="type", kw_only=True):
    """Something the assistant said on an earlier connection."""

    id: str | UnsetType = UNSET
    role: Literal["assistant"] = "assistant"
    content: tuple[OutputText]


class SystemMessage(msgspec.Struct, frozen=True, gc=False, tag="message", tag_field="type", kw_only=True):
    """Something the model must know."""

    id: str | UnsetType = UNSET
    role: Literal["system"] = "system"
    content: tuple[InputText]


class FunctionCall(
    msgspec.Struct, frozen=True, gc=False, tag="function_call", tag_field="type", kw_only=True
):
    """A tool that the model asked for on an earlier connection."""

    id: str | UnsetType = UNSET
    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(
    msgspec.Struct, frozen=True, gc=False, tag="function_call_output", tag_field="type", kw_only=True
):
    """What a tool returned."""

    id: str | UnsetType = UNSET
    call_id: str
    output: str


NewItem = UserMessage | AssistantMessage | SystemMessage | FunctionCall | FunctionCallOutput


class ItemCreate(ClientEvent, frozen=True, gc=False, tag="conversation.item.create"):
    """Add an item at the end of the conversation. Starts no response."""

    item: NewItem


class ItemTruncate(ClientEvent, frozen=True, gc=False, tag="conversation.item.truncate", kw_only=True):
    """Forget the audio behind `audio_end_ms`, and the whole transcript."""

    item_id: str
    content_index: int = 0
    audio_end_ms: int


class ItemDelete(ClientEvent, frozen=True, gc=False, tag="conversation.item.delete"):
    """Forget an item."""

    item_id: str


class ResponseOptions(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is different for one response; `metadata` comes back in its events."""

    metadata: dict[str, str]
    instructions: str | UnsetType = UNSET
    tools: tuple[()] | UnsetType = UNSET
    tool_choice: Literal["none"] | UnsetType = UNSET


class ResponseCreate(ClientEvent, frozen=True, gc=False, tag="response.create", kw_only=True):
    """Ask for an answer."""

    event_id: str = ""
    response: ResponseOptions


class ResponseCancel(ClientEvent, frozen=True, gc=False, tag="response.cancel"):
    """Stop generating an answer; without an id, whichever is being generated."""

    response_id: str | UnsetType = UNSET


class OutputAudioClear(ClientEvent, frozen=True, gc=False, tag="output_audio_buffer.clear"):
    """WebRTC: stop playing now."""


encode = msgspec.json.Encoder().encode


def item_id_for(frame_id: str) -> str:
    """The item a frame becomes: the same on every connection, and within the provider's 32 characters."""
    return f"af_{blake2s(frame_id.encode(), digest_size=14).hexdigest()}"
