"""What wire events mean beside the words: costs, turns by hand, telephone audio, dialects. No socket."""

import pytest

from agentfield_adapters.openai.client_events import AudioCommit
from agentfield_adapters.openai.conversation import TURN_ENDS_MAX, Conversation
from agentfield_adapters.openai.dialect import COMPATIBLE, OPENAI
from agentfield_adapters.openai.reading import reader
from agentfield_adapters.openai.server_events import MalformedEvent, Unread
from agentfield_rt.frames import (
    InputRejected,
    Notice,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    TurnEndFrame,
    Usage,
    UsageReported,
)
from agentfield_rt.ports import AudioFormat
from tests.adapters import peer as wire
from tests.adapters.test_conversation import ENDED, claimed, hear, say


def test_what_a_response_cost_is_told_once_and_before_its_end() -> None:
    done = wire.done("r")
    done["response"]["usage"] = {"input_tokens": 3}
    told = hear(Conversation("t"), wire.created("r"), done, done)
    cost = UsageReported(Usage(input_tokens=3), "r")
    assert told == [
        ResponseStarted("r"),
        cost,
        ResponseEnded("r", ENDED),
        Notice("response.done", "repeated"),
    ]


def test_a_turn_that_ends_by_hand_is_answered_by_one_of_two() -> None:
    for answers in (True, False):
        conversation = Conversation("t", answers=answers)
        assert isinstance(conversation.submit(TurnEndFrame("f")), AudioCommit)
        assert (conversation.claim() is not None) is answers


@pytest.mark.parametrize("named", [True, False], ids=["by its name", "by its code"])
def test_a_turn_that_was_too_short_is_told_to_be_none(named: bool) -> None:
    conversation = Conversation("c")
    commits = [conversation.submit(TurnEndFrame(f"end_{number}")) for number in (1, 2)]
    event_id = str(commits[1].event_id) if named and commits[1] is not None else None
    assert hear(conversation, wire.error("input_audio_buffer_commit_empty", event_id=event_id)) == [
        Notice("error", "input_audio_buffer_commit_empty"),
        InputRejected("end_2", is_turn=False),
    ]


def test_a_turn_that_was_refused_for_another_reason_was_not_understood() -> None:
    conversation = Conversation("c")
    commit = conversation.submit(TurnEndFrame("end_1"))
    assert commit is not None
    meaning = hear(conversation, wire.error("server_error", event_id=str(commit.event_id)))
    assert meaning == [Notice("error", "server_error"), InputRejected("end_1")]
    assert hear(conversation, wire.error("server_error", event_id=str(commit.event_id))) == meaning[:1]


def test_of_many_turns_ended_by_hand_the_newest_are_known() -> None:
    conversation = Conversation("c")
    commits = [conversation.submit(TurnEndFrame(f"end_{number}")) for number in range(TURN_ENDS_MAX + 1)]
    known = [
        bool(hear(conversation, wire.error("server_error", event_id=str(commit.event_id)))[1:])
        for commit in commits
        if commit is not None
    ]
    assert known == [False, *[True] * TURN_ENDS_MAX]


def test_without_metadata_each_answer_finds_its_request() -> None:
    conversation = Conversation("t", dialect=COMPATIBLE)
    hear(conversation, wire.created("the model's own"), wire.done("the model's own"))
    for number in (1, 2):
        say(conversation, number)
        claimed(conversation)
        told = hear(conversation, wire.created(f"r{number}"), wire.done(f"r{number}"))
        assert told == [ResponseStarted(f"r{number}", f"utt_{number}"), ResponseEnded(f"r{number}", ENDED)]


def test_nothing_of_an_interrupted_answer_is_handed_out() -> None:
    conversation = Conversation("t", audio_format=AudioFormat.G711_ULAW)
    hear(conversation, wire.created("r"), wire.audio("r", bytes(800)))
    response = conversation.response("r")
    assert response is not None
    response.interrupted = True
    told = hear(conversation, wire.audio("r", bytes(800)), wire.done("r", "cancelled"))
    assert told == [ResponseEnded("r", ResponseStatus.CANCELLED)]


def test_a_stranger_is_malformed_to_the_strict_only() -> None:
    data = b'{"type": "session.surprise"}'
    assert reader(OPENAI, strict=False)(data) == Unread("session.surprise")
    try:
        reader(OPENAI, strict=True)(data)
    except MalformedEvent as malformed:
        assert malformed.name == "session.surprise"
    else:
        raise AssertionError("a stranger passed")
