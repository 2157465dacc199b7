"""What was said in a session, as its records tell it: the fold that a lost conversation is rebuilt from.

Only references stand here; whoever can read the content makes items of them (`agentfield_rt.history`).
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

import msgspec
from msgspec.structs import replace

from agentfield_rt.core import records
from agentfield_rt.core.records import Record, TurnSource

SAID_MAX = 400
"""Of a longer conversation the oldest is forgotten."""


class By(Enum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"
    CALL = "call"
    OUTPUT = "output"


class Owed(Enum):
    """What the model has not answered."""

    TURN = "turn"
    OUTPUT = "output"
    REST = "rest"


class Said(msgspec.Struct, frozen=True, gc=False):
    """One item: `key` names the turn, utterance, response or call, `ref` its words.

    Attributes:
        response_id: Of a call, the response that it was made in.
    """

    by: By
    key: str
    ref: str
    response_id: str | None = None


class Conversation(msgspec.Struct, frozen=True):
    """What was said until now.

    Attributes:
        said: Oldest first, at most `SAID_MAX`.
        forgotten: How many were said before those.
        owed: What the model has not answered, where it answers by itself.
    """

    said: tuple[Said, ...] = ()
    forgotten: int = 0
    owed: Owed | None = None


def conversation_of(history: Iterable[Record]) -> Conversation:
    """Fold the records of a session, from its first."""
    conversation = Conversation()
    for record in history:
        conversation = follow(conversation, record)
    return conversation


def follow(conversation: Conversation, record: Record) -> Conversation:
    """The conversation after `record`; most records change nothing."""
    step = _STEPS.get(type(record))
    return conversation if step is None else step(conversation, record)


def _add(
    conversation: Conversation, by: By, key: str, ref: str | None, owed: Owed | None = None
) -> Conversation:
    """Something was said, if there is a `ref` to its words."""
    if ref is None:
        return replace(conversation, owed=owed)
    return _put(conversation, Said(by, key, ref), owed)


def _put(conversation: Conversation, new: Said, owed: Owed | None) -> Conversation:
    """What was said under the same key before, `new` replaces where that stands; else it is the last.

    Words that the caller heard while a tool ran are before its call, as in the response that made it.
    """
    said = conversation.said
    place = len(said)
    for at, old in enumerate(said):
        if old.by is new.by and old.key == new.key:
            return replace(conversation, said=(*said[:at], new, *said[at + 1 :]), owed=owed)
        if old.response_id == new.key and new.by is By.ASSISTANT:
            place = min(place, at)
    said = (*said[:place], new, *said[place:])
    too_many = max(len(said) - SAID_MAX, 0)
    return replace(
        conversation,
        said=said[too_many:],
        forgotten=conversation.forgotten + too_many,
        owed=owed,
    )


def _turn(conversation: Conversation, record: records.TurnStarted) -> Conversation:
    # Nobody asked the model to answer what was typed.
    owed = Owed.TURN if record.source is TurnSource.SPEECH and record.understood else None
    return _add(conversation, By.USER, record.op_id, record.text_ref, owed)


def _injected(conversation: Conversation, record: records.StreamRuleInjectionAppended) -> Conversation:
    return _add(conversation, By.USER, record.frame_id, record.text_ref, conversation.owed)


def _asked_to_speak(conversation: Conversation, record: records.UtteranceRequested) -> Conversation:
    """The handler answers, so the model need not."""
    return replace(conversation, owed=None) if conversation.owed is Owed.TURN else conversation


def _spoken(
    conversation: Conversation, record: records.UtterancePlayed | records.UtteranceInterrupted
) -> Conversation:
    return _add(conversation, By.ASSISTANT, record.op_id, record.heard_ref, conversation.owed)


def _resumed(conversation: Conversation, record: records.UtteranceResumed) -> Conversation:
    return _add(conversation, By.ASSISTANT, record.utterance_id, record.heard_ref, conversation.owed)


def _answered(conversation: Conversation, record: records.ResponseHeard) -> Conversation:
    owed = Owed.REST if record.lost and record.heard_ref is not None else None
    if record.lost and owed is None:
        owed = conversation.owed  # nothing of it was heard: it is as if it had never begun
    if any(said.response_id == record.response_id for said in conversation.said):
        owed = conversation.owed  # it called tools, and what they return another one answers
    return _add(conversation, By.ASSISTANT, record.response_id, record.heard_ref, owed)


def _called(conversation: Conversation, record: records.ToolCallReceived) -> Conversation:
    return _put(conversation, Said(By.CALL, record.call_id, record.call_ref, record.response_id), None)


def _returned(conversation: Conversation, record: records.ToolCallAnswered) -> Conversation:
    return _add(conversation, By.OUTPUT, record.call_id, record.output_ref, Owed.OUTPUT)


_STEPS: dict[type[Record], Callable[[Conversation, Any], Conversation]] = {
    records.TurnStarted: _turn,
    records.StreamRuleInjectionAppended: _injected,
    records.UtteranceRequested: _asked_to_speak,
    records.UtterancePlayed: _spoken,
    records.UtteranceInterrupted: _spoken,
    records.UtteranceResumed: _resumed,
    records.ResponseHeard: _answered,
    records.ToolCallReceived: _called,
    records.ToolCallAnswered: _returned,
}
