"""What wire events mean, whatever order, loss or repetition they come in. No socket."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.openai.client_events import ItemCreate, ResponseCreate, encode
from agentfield_adapters.openai.conversation import Conversation
from agentfield_adapters.openai.server_events import MalformedEvent, decode
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import (
    InputRejected,
    InputTranscript,
    Notice,
    OutputAudio,
    OutputTranscript,
    OutputTruncated,
    PlaybackStarted,
    PlaybackStopped,
    ProviderEvent,
    RateLimit,
    RateLimitsReported,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
)
from tests.adapters import peer as wire

ENDED = ResponseStatus.COMPLETED


def hear(conversation: Conversation, *events: dict[str, Any]) -> list[ProviderEvent]:
    return [meaning for event in events for meaning in conversation.react(decode(json.dumps(event).encode()))]


def say(conversation: Conversation, number: int) -> None:
    assert conversation.submit(SpeechFrame(f"f{number}", f"utt_{number}", text="hello")) is None


def claimed(conversation: Conversation) -> ResponseCreate:
    create = conversation.claim()
    assert create is not None
    return create


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        ({"type": "input_audio_buffer.speech_started", "item_id": "i"}, SpeechStarted("i")),
        ({"type": "input_audio_buffer.speech_stopped", "item_id": "i"}, SpeechStopped("i")),
        (
            {
                "type": "conversation.item.input_audio_transcription.delta",
                "item_id": "i",
                "delta": "two ",
                "obfuscation": "x",
            },
            InputTranscript("i", "two ", final=False),
        ),
        (
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "i",
                "transcript": "two coffees",
            },
            InputTranscript("i", "two coffees", final=True),
        ),
        (
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "i",
                "transcript": " ",
            },
            InputRejected("i"),
        ),
        ({"type": "conversation.item.input_audio_transcription.failed", "item_id": "i"}, InputRejected("i")),
        ({"type": "output_audio_buffer.started", "response_id": "r"}, PlaybackStarted("r")),
        ({"type": "output_audio_buffer.stopped", "response_id": "r"}, PlaybackStopped("r", cleared=False)),
        ({"type": "output_audio_buffer.cleared", "response_id": "r"}, PlaybackStopped("r", cleared=True)),
        (
            {"type": "conversation.item.truncated", "item_id": "i", "audio_end_ms": 120},
            OutputTruncated("i", 120),
        ),
        ({"type": "conversation.item.deleted", "item_id": "other"}, Notice("conversation.item.deleted")),
        ({"type": "rate_limits.updated", "rate_limits": []}, Notice("rate_limits.updated")),
        (
            {
                "type": "rate_limits.updated",
                "rate_limits": [{"name": "tokens", "limit": 9, "remaining": 7, "reset_seconds": 0.5}, 7],
            },
            RateLimitsReported((RateLimit("tokens", 9, 7, 0.5),)),
        ),
        ({"type": "something.new", "item": 7}, Notice("something.new")),
        ({"type": "Said: hello!"}, Notice("unknown")),
        (wire.error("response_cancel_not_active"), Notice("error", "response_cancel_not_active")),
        (
            wire.error(None, message="Audio content of 10ms is already shorter than 20ms"),
            Notice("error", "item_already_shorter"),
        ),
        (wire.error("My secret code"), Notice("error", "unknown")),
    ],
)
def test_an_event_has_one_meaning(event: dict[str, Any], meaning: ProviderEvent) -> None:
    if event["type"] == "Said: hello!":
        with pytest.raises(MalformedEvent, match="unknown"):
            hear(Conversation("t"), event)
    else:
        assert hear(Conversation("t"), event) == [meaning]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"{", "unknown"),
        (b"[]", "unknown"),
        (b'{"delta": 1}', "unknown"),
        (b'{"type": "error"', "unknown"),
        (b'{"type": "error"}', "error"),
        (b'{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "*"}', None),
        (b'{"type": "response.created", "response": {"id": 7}}', "response.created"),
        (b'{"type": "\xff"}', "unknown"),
    ],
)
def test_a_malformed_event_is_named_and_nothing_of_it_is_shown(data: bytes, name: str | None) -> None:
    with pytest.raises(MalformedEvent) as raised:
        decode(data)
    assert raised.value.name == (name or "response.output_audio.delta")
    assert raised.value.__context__ is None


def test_a_response_is_started_and_ended_once_and_carries_its_utterance() -> None:
    conversation = Conversation("t")
    say(conversation, 1)
    metadata = claimed(conversation).response.metadata
    assert hear(
        conversation,
        wire.created("r", metadata),
        wire.created("r", metadata),
        wire.audio("r", b"\1\0"),
        wire.words("r", "hello"),
        wire.done("r", "completed", metadata),
        wire.done("r", "completed", metadata),
        wire.audio("r", b"\2\0"),
    ) == [
        ResponseStarted("r", "utt_1"),
        Notice("response.created", "repeated"),
        OutputAudio("r", "item_1", b"\1\0"),
        OutputTranscript("r", "item_1", "hello"),
        ResponseEnded("r", ENDED),
        Notice("response.done", "repeated"),
        Notice("response.output_audio.delta", "late"),
    ]


def test_a_response_whose_start_was_lost_is_started_by_its_first_event() -> None:
    conversation = Conversation("t")
    assert hear(conversation, wire.words("r", "hello"), wire.done("r", "failed")) == [
        ResponseStarted("r"),
        OutputTranscript("r", "item_1", "hello"),
        ResponseEnded("r", ResponseStatus.FAILED),
    ]
    assert hear(conversation, wire.done("q", "no such status")) == [
        ResponseStarted("q"),
        ResponseEnded("q", ResponseStatus.FAILED),
    ]


def test_a_lost_connection_ends_every_response_that_has_not_ended() -> None:
    conversation = Conversation("t")
    hear(conversation, wire.created("r"), wire.done("r"), wire.created("q"))
    assert conversation.end() == [ResponseEnded("q", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST)]
    assert conversation.end() == []


def test_what_comes_of_an_earlier_connections_responses_is_late() -> None:
    conversation = Conversation("t", over=["r"])
    assert hear(conversation, wire.words("r", "hello"), wire.done("r")) == [
        Notice("response.output_audio_transcript.delta", "late"),
        Notice("response.done", "repeated"),
    ]


def test_speech_is_asked_for_word_for_word_and_without_tools() -> None:
    conversation = Conversation("t")
    say(conversation, 1)
    create = json.loads(encode(claimed(conversation)))
    assert create == {
        "type": "response.create",
        "event_id": "af_t_1",
        "response": {
            "metadata": {"request_id": "af_t_1", "utterance_id": "utt_1"},
            "instructions": "Say exactly: hello",
            "tools": [],
            "tool_choice": "none",
        },
    }


def test_an_answer_to_instructions_may_use_tools() -> None:
    conversation = Conversation("t")
    conversation.submit(SpeechFrame("f", "utt", instructions="Greet the caller"))
    response = json.loads(encode(claimed(conversation)))["response"]
    assert response["instructions"] == "Greet the caller"
    assert response.keys() == {"metadata", "instructions"}


def test_the_same_frame_becomes_the_same_item_on_every_connection() -> None:
    items: list[str] = []
    for tag in ("a", "b"):
        create = Conversation(tag).submit(TextFrame("frame-" + "x" * 100, "hello"))
        assert isinstance(create, ItemCreate)
        assert isinstance(create.item.id, str)
        items.append(create.item.id)
    assert items[0] == items[1]
    assert len(items[0]) <= 32


def test_only_one_response_is_asked_for_at_a_time() -> None:
    conversation = Conversation("t")
    say(conversation, 1)
    say(conversation, 2)
    first = claimed(conversation)
    assert conversation.claim() is None
    hear(conversation, wire.created("r", first.response.metadata))
    assert conversation.claim() is None
    hear(conversation, wire.done("r"))
    assert claimed(conversation).response.metadata["utterance_id"] == "utt_2"


def test_a_request_that_met_the_providers_own_response_waits_for_its_end() -> None:
    conversation = Conversation("t")
    say(conversation, 1)
    first = claimed(conversation)
    occupied = "conversation_already_has_active_response"
    assert hear(conversation, wire.created("own"), wire.error(occupied, event_id=first.event_id)) == [
        ResponseStarted("own"),
        Notice("error", occupied),
    ]
    assert conversation.claim() is None
    hear(conversation, wire.done("own"))
    assert claimed(conversation) == first


def test_a_request_refused_for_good_fails_its_utterance_and_frees_the_slot() -> None:
    conversation = Conversation("t")
    say(conversation, 1)
    say(conversation, 2)
    first = claimed(conversation)
    assert hear(conversation, wire.error("invalid_value", event_id=first.event_id)) == [
        Notice("error", "invalid_value"),
        ResponseStarted(first.event_id, "utt_1"),
        ResponseEnded(first.event_id, ResponseStatus.FAILED),
    ]
    assert claimed(conversation).response.metadata["utterance_id"] == "utt_2"


def test_an_error_about_something_else_leaves_the_request_alone() -> None:
    conversation = Conversation("t")
    say(conversation, 1)
    claimed(conversation)
    assert hear(conversation, wire.error("invalid_value", event_id="other")) == [
        Notice("error", "invalid_value")
    ]
    assert conversation.claim() is None


def test_too_many_waiting_requests_are_refused_before_anything_is_sent() -> None:
    conversation = Conversation("t")
    for number in range(32):
        say(conversation, number)
    with pytest.raises(ProviderError) as raised:
        say(conversation, 33)
    assert (raised.value.reason, raised.value.retryable) == (Reason.RATE_LIMITED, True)


def test_tools_run_when_their_item_is_whole_and_once() -> None:
    conversation = Conversation("t")
    assert hear(
        conversation,
        wire.created("r"),
        wire.call("r", "cut off", status="incomplete"),
        wire.call("r", "call_1"),
        wire.call("r", "call_1"),
    )[1:] == [
        Notice("response.output_item.done"),
        ToolCalled("r", "call_1", "look_up", '{"a":1}'),
        Notice("response.output_item.done", "repeated"),
    ]


def test_the_provider_goes_on_once_after_the_last_tool_output_and_the_end_of_the_response() -> None:
    conversation = Conversation("t")
    hear(conversation, wire.created("r"), wire.call("r", "a"), wire.call("r", "b"))
    conversation.submit(ToolResultFrame("f1", "a", "1"))
    hear(conversation, wire.done("r"))
    assert conversation.claim() is None
    conversation.submit(ToolResultFrame("f2", "b", "2"))
    going_on = claimed(conversation)
    assert set(going_on.response.metadata) == {"request_id"}
    hear(conversation, wire.created("q", going_on.response.metadata), wire.done("q"))
    assert conversation.claim() is None


def test_outputs_that_come_before_the_end_are_answered_at_the_end() -> None:
    conversation = Conversation("t")
    hear(conversation, wire.created("r"), wire.call("r", "a"))
    conversation.submit(ToolResultFrame("f1", "a", "1"))
    assert conversation.claim() is None
    hear(conversation, wire.done("r"))
    claimed(conversation)


def test_a_response_that_was_cut_off_is_not_gone_on_with() -> None:
    conversation = Conversation("t")
    hear(conversation, wire.created("r"), wire.call("r", "a"), wire.done("r", "cancelled"))
    assert conversation.submit(ToolResultFrame("f1", "a", "1")) is not None
    assert conversation.claim() is None


def test_a_tool_has_one_output_and_must_have_been_called() -> None:
    conversation = Conversation("t")
    hear(conversation, wire.created("r"), wire.call("r", "a"))
    conversation.submit(ToolResultFrame("f1", "a", "1"))
    for call_id, reason in [("a", Reason.INVALID_REQUEST), ("b", Reason.NOT_FOUND)]:
        with pytest.raises(ProviderError) as raised:
            conversation.submit(ToolResultFrame("f2", call_id, "2"))
        assert (raised.value.reason, raised.value.not_done) == (reason, True)


def test_an_item_the_client_removed_was_heard_for_no_time() -> None:
    conversation = Conversation("t")
    hear(conversation, wire.created("r"), wire.audio("r", bytes(48), item_id="i"))
    assert hear(conversation, {"type": "conversation.item.deleted", "item_id": "i"}) == [
        OutputTruncated("i", 0)
    ]


EVENTS = st.sampled_from(
    [
        *(wire.created(r) for r in "pq"),
        *(wire.done(r, status) for r in "pq" for status in ("completed", "cancelled")),
        *(wire.audio(r, bytes(48)) for r in "pq"),
        *(wire.words(r, "x") for r in "pq"),
        *(wire.call(r, f"call_{r}") for r in "pq"),
        wire.error("invalid_value", event_id="af_t_1"),
        wire.error("conversation_already_has_active_response", event_id="af_t_1"),
        wire.error("conversation_already_has_active_response"),
    ]
)


@given(st.lists(st.one_of(EVENTS, st.sampled_from(["say", "claim"])), max_size=40))
def test_any_order_of_events_starts_and_ends_each_response_at_most_once(
    steps: list[dict[str, Any] | str],
) -> None:
    conversation = Conversation("t")
    seen: list[ProviderEvent] = []
    said = 0
    for step in steps:
        match step:
            case "say":
                said += 1
                if said <= 30:
                    say(conversation, said)
            case "claim":
                conversation.claim()
            case dict():
                seen += hear(conversation, step)
            case _:
                raise AssertionError(step)
    seen += conversation.end()
    open_responses: set[str] = set()
    started: list[str] = []
    for event in seen:
        match event:
            case ResponseStarted(response_id=response_id):
                started.append(response_id)
                open_responses.add(response_id)
            case ResponseEnded(response_id=response_id):
                open_responses.remove(response_id)
            case OutputAudio() | OutputTranscript() | ToolCalled():
                assert event.response_id in open_responses
            case _:
                pass
    assert len(started) == len(set(started))
    assert not open_responses
