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

TURNS_MAX = 16
"""Turns whose order is remembered: so many may come while the model says one thing."""


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
        response_id: The response that it was made or said in.
        answers: Of what the model said by itself, the latest turn that it knew when it began.
    """

    by: By
    key: str
    ref: str
    response_id: str | None = None
    answers: str | None = None


class Conversation(msgspec.Struct, frozen=True):
    """What was said until now.

    Attributes:
        said: Oldest first, at most `SAID_MAX`.
        forgotten: How many were said before those.
        owed: What the model has not answered, where it answers by itself.
        turns: The newest `TURNS_MAX` turns; if one is owed an answer, it is the last.
    """

    said: tuple[Said, ...] = ()
    forgotten: int = 0
    owed: Owed | None = None
    turns: tuple[str, ...] = ()


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


def _put(conversation: Conversation, new: Said) -> Conversation:
    """What was said under the same key before, `new` replaces where that stands."""
    said = conversation.said
    for at, old in enumerate(said):
        if old.by is new.by and old.key == new.key:
            return replace(conversation, said=(*said[:at], new, *said[at + 1 :]))
    later = _turns_after(conversation, new.answers)
    place = next((at for at, old in enumerate(said) if _is_before(new, old, later)), len(said))
    said = (*said[:place], new, *said[place:])
    too_many = max(len(said) - SAID_MAX, 0)
    return replace(conversation, said=said[too_many:], forgotten=conversation.forgotten + too_many)


def _is_before(new: Said, old: Said, later: tuple[str, ...]) -> bool:
    """Whether what is recorded only now was said before `old`: records tell of words once they are over."""
    match new.by, old.by:
        case By.ASSISTANT, By.CALL:  # heard while a tool ran, that the same response called
            return new.response_id is not None and new.response_id == old.response_id
        case By.ASSISTANT, By.USER:  # said while it was heard
            return old.key in later
        case By.USER, By.ASSISTANT:  # answered before its words were known
            return new.key == old.answers
        case _:
            return False


def _turns_after(conversation: Conversation, turn_id: str | None) -> tuple[str, ...]:
    """The turns that were recorded after `turn_id`."""
    turns = conversation.turns
    return turns[turns.index(turn_id) + 1 :] if turn_id in turns else ()


def _turn(conversation: Conversation, record: records.TurnStarted) -> Conversation:
    owed = Owed.TURN if record.source is TurnSource.SPEECH and record.understood else None
    if any(said.answers == record.op_id for said in conversation.said):
        owed = conversation.owed
    # What was typed, nobody asked the model to answer.
    told = replace(conversation, owed=owed, turns=(*conversation.turns, record.op_id)[-TURNS_MAX:])
    if record.text_ref is None:
        return told
    return _put(told, Said(By.USER, record.op_id, record.text_ref))


def _injected(conversation: Conversation, record: records.StreamRuleInjectionAppended) -> Conversation:
    return _put(conversation, Said(By.USER, record.frame_id, record.text_ref))


def _asked_to_speak(conversation: Conversation, record: records.UtteranceRequested) -> Conversation:
    """The handler answers, so the model need not."""
    return replace(conversation, owed=None) if conversation.owed is Owed.TURN else conversation


def _spoken(
    conversation: Conversation, record: records.UtterancePlayed | records.UtteranceInterrupted
) -> Conversation:
    return _uttered(conversation, record.op_id, record.heard_ref, record.response_id)


def _resumed(conversation: Conversation, record: records.UtteranceResumed) -> Conversation:
    return _uttered(conversation, record.utterance_id, record.heard_ref, record.response_id)


def _uttered(
    conversation: Conversation, utterance_id: str, ref: str | None, response_id: str | None
) -> Conversation:
    if ref is None:
        return conversation
    return _put(conversation, Said(By.ASSISTANT, utterance_id, ref, response_id))


def _answered(conversation: Conversation, record: records.ResponseHeard) -> Conversation:
    response_id, ref = record.response_id, record.heard_ref
    told = replace(conversation, owed=_owed_after(conversation, record))
    if ref is None:
        return told
    return _put(told, Said(By.ASSISTANT, response_id, ref, response_id, record.turn_id))


def _owed_after(conversation: Conversation, record: records.ResponseHeard) -> Owed | None:
    if any(said.by is By.CALL and said.response_id == record.response_id for said in conversation.said):
        return conversation.owed  # it called tools, and what they return another one answers
    if conversation.owed is Owed.TURN and _turns_after(conversation, record.turn_id):
        return Owed.TURN  # it answered another one, and the user spoke while it was heard
    if record.lost:  # where nothing of it was heard, it is as if it had never begun
        return conversation.owed if record.heard_ref is None else Owed.REST
    return None


def _called(conversation: Conversation, record: records.ToolCallReceived) -> Conversation:
    called = replace(conversation, owed=None)
    return _put(called, Said(By.CALL, record.call_id, record.call_ref, record.response_id))


def _returned(conversation: Conversation, record: records.ToolCallAnswered) -> Conversation:
    returned = replace(conversation, owed=Owed.OUTPUT)
    return _put(returned, Said(By.OUTPUT, record.call_id, record.output_ref))


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
