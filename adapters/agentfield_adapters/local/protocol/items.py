"""Conversation items of the Realtime wire, as a client may create them and as the server reports them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

ItemId = Annotated[str, Meta(min_length=1, max_length=64)]
Status = Literal["completed", "incomplete", "in_progress"]


class InputText(Struct, frozen=True, forbid_unknown_fields=True, tag="input_text"):
    """Words that were typed."""

    text: str


class InputAudio(Struct, frozen=True, forbid_unknown_fields=True, tag="input_audio"):
    """Words that were spoken.

    Attributes:
        audio: Base64 in the session's input format; never reported back.
        transcript: What was recognised, None until it is known.
    """

    audio: str | UnsetType = UNSET
    transcript: str | None = None


class InputImage(Struct, frozen=True, forbid_unknown_fields=True, tag="input_image"):
    """A picture as a data URI. Kept in the conversation, never looked at."""

    image_url: Annotated[str, Meta(pattern=r"^data:image/(png|jpeg);base64,[A-Za-z0-9+/]+={0,2}$")]
    detail: Literal["auto", "low", "high"] | UnsetType = UNSET


class OutputText(Struct, frozen=True, forbid_unknown_fields=True, tag="output_text"):
    """Words the assistant wrote."""

    text: str


class OutputAudio(Struct, frozen=True, forbid_unknown_fields=True, tag="output_audio"):
    """Words the assistant spoke; the audio itself is not kept.

    Attributes:
        transcript: Absent after a truncation, which removes it.
    """

    transcript: str | UnsetType = UNSET


Content = InputText | InputAudio | InputImage | OutputText | OutputAudio


class Message(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="message"):
    """Something a person, the system or the assistant said."""

    role: Literal["system", "user", "assistant"]
    content: list[Content]
    id: ItemId | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class FunctionCall(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="function_call"):
    """A function the assistant wants to be called; `arguments` is JSON text."""

    name: str
    arguments: str
    call_id: str | UnsetType = UNSET
    id: ItemId | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class FunctionCallOutput(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="function_call_output"
):
    """What a called function gave back."""

    call_id: str
    output: str
    id: ItemId | UnsetType = UNSET
    status: Status | UnsetType = UNSET


Item = Message | FunctionCall | FunctionCallOutput

CONTENT_OF_ROLE: dict[str, tuple[type[Struct], ...]] = {
    "system": (InputText,),
    "user": (InputText, InputAudio, InputImage),
    "assistant": (OutputText,),  # spoken answers cannot be recreated
}


def item_id(item: Item) -> str:
    """Return the id of an item that is part of a conversation.

    Raises:
        ValueError: The item has none yet: a bug of this provider.
    """
    if isinstance(item.id, UnsetType):
        raise ValueError("an item without an id is not part of a conversation")
    return item.id
