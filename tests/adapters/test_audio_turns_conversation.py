"""The pure part of audio turns: what a request tells, how a stream is read, how an answer ends."""

import base64
import io
import json
import wave
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_adapters.local.chat.request import parse_request
from agentfield_adapters.openrouter import answer as answers
from agentfield_adapters.openrouter.answer import Answer
from agentfield_adapters.openrouter.client import ChatClient
from agentfield_adapters.openrouter.conversation import (
    AUDIO_BYTES_MAX,
    ITEMS_MAX,
    NOT_KEPT,
    Conversation,
    Said,
)
from agentfield_adapters.openrouter.dialect import LOCAL, OPENROUTER
from agentfield_adapters.openrouter.event_source import EventSource
from agentfield_adapters.openrouter.failures import TurnFailed, refused
from agentfield_adapters.openrouter.line import Line
from agentfield_adapters.openrouter.requests import Wanted, request_body
from agentfield_rt.frames import (
    OutputAudio,
    OutputTranscript,
    ResponseEnded,
    ResponseStatus,
    TextFrame,
    ToolResultFrame,
)
from agentfield_rt.ports import ProviderSettings, SessionConfig
from tests.adapters.audio_turns_line import CONFIG, MS
from tests.adapters.chat_peer import delta

# What a request tells

Step = tuple[str, int]
Checked = Callable[[Conversation], None]
steps = st.lists(
    st.tuples(
        st.sampled_from(["type", "speak", "understand", "answer", "call", "return", "interrupt"]),
        st.integers(0, 40),
    ),
    max_size=40,
)


def lived(conversation: Conversation, story: list[Step]) -> Conversation:
    """A conversation after a story; what a story asks for and cannot be is left out."""
    heard: list[str] = []
    said: list[Said] = []
    for number, (what, amount) in enumerate(story):
        match what:
            case "type":
                conversation.typed(TextFrame(f"t{number}", f"typed {number}"))
            case "speak":
                heard.append(conversation.new_id("item"))
                conversation.spoken(heard[-1], MS * (100 + amount))
            case "understand" if heard:
                conversation.understood(heard[amount % len(heard)], f"words {number}")
            case "answer":
                said.append(conversation.begin(conversation.new_id("resp")))
                for word in range(amount):
                    said[-1].append(f"word{word} ")
                    said[-1].audio_bytes += len(MS) * 300
            case "call" if said:
                said[-1].call("call_0", "look_up", "{}")
            case "return" if said and said[-1].calls:
                call = said[-1].calls[amount % len(said[-1].calls)]
                if call.output is None:
                    conversation.returned(ToolResultFrame(f"r{number}", call.call_id, "out"))
            case "interrupt" if said:
                said[amount % len(said)].cut(amount * 100)
            case _:
                pass
    return conversation


def line_of(conversation: Conversation, config: SessionConfig = CONFIG) -> Line:
    client = cast(ChatClient, None)  # nothing is sent here
    return Line(client, EventBuffer(events_max=1), conversation, config, LOCAL)


def check_it_would_be_taken(conversation: Conversation) -> None:
    """A server as strict as the vendor takes the request."""
    parse_request(msgspec.json.encode(request_body(Wanted(), line_of(conversation))))


@given(steps)
def test_the_same_conversation_makes_the_same_request(story: list[Step]) -> None:
    first, second = (lived(Conversation("tag"), story) for _ in range(2))
    body = request_body(Wanted(), line_of(first))
    assert body == request_body(Wanted(), line_of(second))
    assert body == request_body(Wanted(), line_of(first))  # telling changes nothing


@given(steps)
def test_a_strict_server_takes_every_request(story: list[Step]) -> None:
    check_it_would_be_taken(lived(Conversation("tag"), story))


class TellsOpenCalls(Conversation):
    """Planted: tells calls that have not returned, which servers refuse."""

    def messages(self) -> list[dict[str, Any]]:
        calls = [{"id": "call_0", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
        told = super().messages()
        said = [item for item in told if item["role"] == "assistant"]
        return [*told, {**said[-1], "tool_calls": calls}] if said else told


def test_the_strict_server_notices_a_call_that_nothing_answers() -> None:
    with pytest.raises(Exception, match="must be followed by an answer"):
        check_it_would_be_taken(lived(TellsOpenCalls("tag"), [("answer", 3), ("call", 0)]))


@given(steps, st.integers(0, 5_000))
def test_a_cut_never_gives_back_what_was_cut_before(story: list[Step], heard_ms: int) -> None:
    conversation = lived(Conversation("tag"), [*story, ("answer", 20)])
    said = conversation.response(conversation.begin("resp_last").response_id)
    assert said is not None
    for word in range(20):
        said.append(f"word{word} ")
        said.audio_bytes += len(MS) * 300
    texts = [said.text]
    for at_ms in (heard_ms, None, heard_ms // 2, 10_000, 0):
        said.cut(at_ms)
        texts.append(said.text)
    assert all(before.startswith(after) for before, after in pairwise(texts))
    assert texts[-1] == ""


def test_the_newest_turn_is_told_as_audio_and_earlier_ones_as_their_words() -> None:
    conversation = Conversation("tag")
    conversation.spoken("i1", MS * 200)
    conversation.understood("i1", "a tea please")
    conversation.begin("r1").append("Here you are.")
    conversation.spoken("i2", MS * 300)
    conversation.understood("i2", "thank you")
    first, answer, newest = conversation.messages()
    assert first == {"role": "user", "content": "a tea please"}
    assert answer == {"role": "assistant", "content": "Here you are."}
    (part,) = newest["content"]
    assert (part["type"], part["input_audio"]["format"]) == ("input_audio", "wav")
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (24_000, 1, 2)
        assert sound.readframes(sound.getnframes()) == MS * 300


def test_a_turn_whose_words_nobody_knows_stays_audio_within_bounds() -> None:
    conversation = Conversation("tag")
    for number in range(4):
        conversation.spoken(f"i{number}", bytes(AUDIO_BYTES_MAX // 3))
        conversation.begin(f"r{number}").append("Yes.")
    told = [message["content"] for message in conversation.messages() if message["role"] == "user"]
    assert told[0] == NOT_KEPT
    assert all(not isinstance(content, str) for content in told[1:])


def test_a_conversation_without_end_forgets_its_beginning() -> None:
    conversation = Conversation("tag")
    for number in range(ITEMS_MAX + 5):
        conversation.typed(TextFrame(f"t{number}", f"{number}"))
    told = conversation.messages()
    assert (len(told), told[0]["content"]) == (ITEMS_MAX, "5")


def test_what_is_said_verbatim_is_asked_for_alone() -> None:
    conversation = lived(Conversation("tag"), [("type", 0), ("answer", 3)])
    body = request_body(Wanted(text="Good morning."), line_of(conversation))
    assert [message["content"] for message in body["messages"]][1:] == ["Say exactly: Good morning."]
    assert "tools" not in body
    assert (body["stream"], body["audio"]) == (True, {"voice": "coral", "format": "pcm16"})


def test_instructions_of_an_answer_take_the_place_of_the_sessions() -> None:
    body = request_body(Wanted(instructions="Be brief."), line_of(Conversation("tag")))
    (system,) = body["messages"]
    instructions, grammar = (part["text"] for part in system["content"])
    assert instructions == "Be brief." and grammar.startswith("#JSGF")
    plain = request_body(Wanted(), line_of(Conversation("tag"), SessionConfig(modalities=("text",))))
    assert (plain["messages"], plain["modalities"], "audio" in plain) == ([], ["text"], False)


def test_another_server_is_asked_for_its_own_models() -> None:
    same = OPENROUTER.at(ProviderSettings(base_url="https://openrouter.ai/api/v1"))
    other = OPENROUTER.at(ProviderSettings(base_url="https://api.openai.com/v1"))
    assert same is OPENROUTER.at(ProviderSettings()) is OPENROUTER
    assert (other.server.model, other.probe_path, other.json_transcription) == (
        "gpt-audio-mini",
        "models",
        False,
    )


# Reading a stream

datas = st.lists(st.binary(min_size=1, max_size=20).filter(lambda data: not {10, 13} & set(data)), max_size=8)


@given(datas, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(1, 7), min_size=1))
def test_a_stream_may_be_cut_anywhere(events: list[bytes], ending: bytes, sizes: list[int]) -> None:
    wire = b"".join(b": comment" + ending + b"data: " + data + ending * 2 for data in events)
    source, read, at, turn = EventSource(), list[bytes](), 0, 0
    while at < len(wire):
        size = sizes[turn % len(sizes)]
        read += source.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert [*read, *source.finish()] == events


def test_an_event_may_have_several_lines_and_no_empty_line_after_it() -> None:
    source = EventSource()
    assert source.feed(b"event: x\ndata: a\ndata:b\n\ndata: [DONE]") == [b"a\nb"]
    assert source.finish() == [b"[DONE]"]


# Reading an answer


def answer() -> Answer:
    return Answer(Conversation("tag").begin("r1"))


@given(st.binary(max_size=300), st.lists(st.integers(1, 9), min_size=1))
def test_samples_are_whole_however_the_sound_is_cut(sound: bytes, sizes: list[int]) -> None:
    answered, at, turn, pcm = answer(), 0, 0, b""
    while at < len(sound):
        piece = sound[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(piece), turn + 1
        chunk = delta(audio={"data": base64.b64encode(piece).decode()})
        for event in answered.react(json.dumps(chunk).encode()):
            assert isinstance(event, OutputAudio) and len(event.pcm) % 2 == 0
            pcm += event.pcm
    assert pcm == sound[: len(sound) // 2 * 2]


PIECES: list[Any] = [
    delta(content="hi"),
    delta(audio={"data": "AAAA", "transcript": "hi"}),
    delta(audio={"expires_at": 1}),
    delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]},
    {"choices": [], "usage": {"total_tokens": 1}},
    {"error": {"code": 500}},
    {"error": None},
    [],
    {"choices": [{"delta": {"audio": {"data": "not base64!"}}}]},
]
pieces = st.sampled_from(PIECES)


@settings(max_examples=300)
@given(st.lists(pieces, max_size=12), st.sampled_from(["done", "cut", "cancel"]))
def test_every_answer_ends_once_and_nothing_follows(chunks: list[Any], end: str) -> None:
    answered, events = answer(), list[Any]()
    try:
        for chunk in chunks:
            events += answered.react(json.dumps(chunk).encode())
    except TurnFailed:
        events += answered.end(ResponseStatus.FAILED)
    match end:
        case "done":
            events += answered.react(b"[DONE]")
        case "cut":
            events += answered.cut_off()
        case _:
            events += answered.end(ResponseStatus.CANCELLED)
    assert answered.react(b"{}") == answered.cut_off() == answered.end(ResponseStatus.COMPLETED) == []
    assert [isinstance(event, ResponseEnded) for event in events].count(True) == 1
    assert isinstance(events[-1], ResponseEnded)


def test_an_answer_that_gives_no_reason_for_its_end_is_whole_if_the_stream_is() -> None:
    whole, broken = answer(), answer()
    for answered in (whole, broken):
        answered.react(json.dumps(delta(audio={"data": "AAAA", "transcript": "hi"})).encode())
    assert whole.react(b"[DONE]") == [ResponseEnded("r1", ResponseStatus.COMPLETED)]
    assert broken.cut_off() == [ResponseEnded("r1", ResponseStatus.INCOMPLETE)]


def test_an_answer_longer_than_anybody_plays_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "AUDIO_BYTES_MAX", 4)
    monkeypatch.setattr(answers, "TEXT_CHARACTERS_MAX", 2)
    answered = answer()
    chunk = json.dumps(delta(content="long", audio={"data": "AAAAAAAA"})).encode()
    assert answered.react(chunk) == [
        OutputTranscript("r1", "item_tag_1", "lo"),
        OutputAudio("r1", "item_tag_1", bytes(4)),
        ResponseEnded("r1", ResponseStatus.INCOMPLETE),
    ]


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        ("7", 7, 7),
        ("99999999999", 60, 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 60, 60),
        ("soon", 0, 0),
        ("-1", 0, 0),
        (None, 0, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(
    header: str | None, least_s: float, most_s: float
) -> None:
    assert least_s <= refused(429, retry_after=header).retry_after_s <= most_s


@pytest.mark.parametrize(
    ("status", "not_done"), [(400, True), (429, True), (500, True), (408, False), (502, False), (504, False)]
)
def test_whoever_gives_up_waiting_does_not_say_what_was_done(status: int, not_done: bool) -> None:
    assert refused(status).not_done is not_done
