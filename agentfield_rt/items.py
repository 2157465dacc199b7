"""What a conversation consists of, as a new provider connection is told it. Shapes only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserItem:
    """What the user typed, or said as it was understood."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class AssistantItem:
    """What the caller heard of an answer: never more."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallItem:
    """A tool the model asked for; `arguments` is JSON text. Where no output follows, it is still to come."""

    item_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolOutputItem:
    """What the model was told of a call: JSON text."""

    item_id: str
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class NoteItem:
    """Something the model must know that nobody said."""

    item_id: str
    text: str


ConversationItem = UserItem | AssistantItem | ToolCallItem | ToolOutputItem | NoteItem


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was said until now, oldest first.

    Attributes:
        left_out: Older items that are not told: too many, or too long.
        answer_owed: The model's answer to the last of them was lost with the connection, or the rest of it.
    """

    items: tuple[ConversationItem, ...] = ()
    left_out: int = 0
    answer_owed: bool = False


def output_item_id(call_id: str) -> str:
    """The id of a call's output: a frame that brings it has the same."""
    return f"tool_{call_id}"
