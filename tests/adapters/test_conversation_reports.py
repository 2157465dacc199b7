"""What wire events mean beside the words: costs, turns by hand, telephone audio, dialects. No socket."""

from agentfield_adapters.openai.client_events import AudioCommit
from agentfield_adapters.openai.conversation import Conversation
from agentfield_adapters.openai.dialect import COMPATIBLE, OPENAI
from agentfield_adapters.openai.reading import reader
from agentfield_adapters.openai.server_events import MalformedEvent, Unread
from agentfield_rt.frames import (
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
