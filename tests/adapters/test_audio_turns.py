"""local/audio_turns against the real provider of this machine, and the vendor's client against its stream."""

import asyncio
import base64
import sys
import threading
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionChunk

from agentfield_adapters.conformance import check_adapter
from agentfield_adapters.openrouter import hearing, local_audio_turns_adapter
from agentfield_adapters.openrouter.conversation import wav
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import (
    FRAME_BYTES,
    AudioFrame,
    InputRejected,
    InputTranscript,
    Notice,
    OutputAudio,
    OutputTruncated,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
    TurnEndFrame,
)
from agentfield_rt.plane import providers
from agentfield_rt.plane.errors import ProviderUnavailable
from agentfield_rt.plane.providers import Providers
from agentfield_rt.ports import AdapterFactory, ConnectRequest, ProviderAdapter, ProviderSettings
from agentfield_rt.registry import adapter_factory
from tests.adapters.test_with_local_provider import LONG, REQUEST, spoken, until
from tests.local_provider.realtime_client import cached_speech
from tests.plane.serving import served
from tests.plane.test_media import media, ready

PUSH_TO_TALK = replace(REQUEST, config=replace(REQUEST.config, turn_detection=None))
MODEL = "gpt-audio"


def adapter_at(url: str) -> ProviderAdapter:
    return local_audio_turns_adapter(ProviderSettings(base_url=url))


@pytest_asyncio.fixture
async def adapter(local_provider_url: str) -> AsyncGenerator[ProviderAdapter]:
    made = adapter_at(local_provider_url)
    yield made
    await made.close(CloseReason.NORMAL)


async def say(adapter: ProviderAdapter, text: str, *, pause_ms: int = 800) -> None:
    """Speak to the adapter in frames of 20 ms."""
    samples = await cached_speech(text)
    pcm = bytes(FRAME_BYTES * 15) + samples.astype("<i2").tobytes() + bytes(48 * pause_ms)
    for start in range(0, len(pcm), FRAME_BYTES):
        await adapter.send(AudioFrame(f"a{start}", pcm[start : start + FRAME_BYTES]))


def sound_ms(events: list[ProviderEvent]) -> int:
    return sum(len(event.pcm) for event in events if isinstance(event, OutputAudio)) // 48


@pytest.mark.asyncio
async def test_the_audio_turns_adapter_conforms(local_provider_url: str) -> None:
    async def request() -> ConnectRequest:
        return REQUEST

    await check_adapter(lambda: adapter_at(local_provider_url), request)


@pytest.mark.parametrize("provider", ["local", "openrouter"])
def test_both_pairs_are_found_by_name(provider: str) -> None:
    made = adapter_factory(provider, "audio_turns")(ProviderSettings())
    assert isinstance(made, ProviderAdapter)


@pytest.mark.asyncio
async def test_what_the_user_says_is_a_turn_with_its_words_and_is_answered(adapter: ProviderAdapter) -> None:
    await adapter.connect(REQUEST)
    await say(adapter, "a tea please")
    events = await until(adapter, InputTranscript)
    started, stopped, words = events
    assert isinstance(started, SpeechStarted)
    assert stopped == SpeechStopped(started.item_id)
    assert words == InputTranscript(started.item_id, "a tea please", final=True)
    await adapter.send(SpeechFrame("f1", "u1"))
    events = await until(adapter, ResponseEnded)
    assert spoken(events) == "You said: a tea please."  # the model heard the sound, not the transcript
    assert sound_ms(events) > 600


@pytest.mark.asyncio
async def test_a_session_that_answers_by_itself_waits_for_nobody(adapter: ProviderAdapter) -> None:
    await adapter.connect(replace(REQUEST, config=replace(REQUEST.config, create_response=True)))
    await say(adapter, "goodbye")
    events = await until(adapter, ResponseEnded)
    assert [event.utterance_id for event in events if isinstance(event, ResponseStarted)] == [None]
    assert spoken(events) == "You said: goodbye."


@pytest.mark.asyncio
async def test_push_to_talk_ends_when_an_answer_is_asked_for(adapter: ProviderAdapter) -> None:
    await adapter.connect(PUSH_TO_TALK)
    await say(adapter, "a coffee please")
    await adapter.send(SpeechFrame("f1", "u1", text="One moment."))  # says nothing of the user's turn
    assert spoken(await until(adapter, ResponseEnded)) == "One moment."
    await adapter.send(SpeechFrame("f2", "u2"))
    events = await until(adapter, ResponseEnded)
    assert spoken(events) == "You said: a coffee please."
    while not any(isinstance(event, InputTranscript) for event in events):
        events += await adapter.receive(demand=1)
    assert not [event for event in events if isinstance(event, SpeechStarted)]


@pytest.mark.asyncio
async def test_what_is_too_short_to_be_a_turn_is_told_to_be_none(adapter: ProviderAdapter) -> None:
    await adapter.connect(PUSH_TO_TALK)
    await adapter.send(AudioFrame("a1", bytes(FRAME_BYTES)))
    await adapter.send(TurnEndFrame("end_1"))
    assert await adapter.receive(demand=1) == (InputRejected("end_1", is_turn=False),)


@pytest.mark.asyncio
async def test_without_a_detector_a_session_is_push_to_talk_and_says_so(
    adapter: ProviderAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"{hearing.__package__}.turn_finder", None)
    await adapter.connect(REQUEST)
    assert await adapter.receive(demand=1) == (Notice("turn_detection", "unavailable"),)
    await say(adapter, "goodbye")
    await adapter.send(SpeechFrame("f1", "u1"))
    assert spoken(await until(adapter, ResponseEnded)) == "You said: goodbye."


@pytest.mark.asyncio
async def test_what_fits_nothing_is_rejected_and_still_part_of_the_conversation(
    adapter: ProviderAdapter,
) -> None:
    await adapter.connect(REQUEST)
    await say(adapter, "the weather in the mountains was surprisingly pleasant")
    assert isinstance((await until(adapter, InputRejected))[-1], InputRejected)
    await adapter.send(SpeechFrame("f1", "u1"))
    assert "seconds of audio" in spoken(await until(adapter, ResponseEnded))


@pytest.mark.asyncio
async def test_a_tool_is_called_and_its_output_answered(adapter: ProviderAdapter) -> None:
    await adapter.connect(REQUEST)
    await adapter.send(TextFrame("f1", "Please look up Coffee"))
    await adapter.send(SpeechFrame("f2", "u1"))
    events = await until(adapter, ResponseEnded)
    called = next(event for event in events if isinstance(event, ToolCalled))
    assert (called.name, called.arguments) == ("look_up", '{"drink":"Coffee"}')
    await adapter.send(ToolResultFrame("f3", called.call_id, "three euros"))
    assert spoken(await until(adapter, ResponseEnded)) == "The answer is: three euros"


@pytest.mark.asyncio
async def test_an_interrupted_answer_keeps_what_was_heard(adapter: ProviderAdapter) -> None:
    await adapter.connect(REQUEST)
    await adapter.send(SpeechFrame("f1", "u1", text=LONG))
    begun = next(e for e in await until(adapter, OutputAudio) if isinstance(e, OutputAudio))
    await adapter.interrupt(begun.response_id, heard_ms=60)
    events = await until(adapter, OutputTruncated)
    assert not [event for event in events if isinstance(event, OutputAudio)]
    assert ResponseEnded(begun.response_id, ResponseStatus.CANCELLED) in events
    assert OutputTruncated(begun.item_id, 60) in events
    await adapter.send(SpeechFrame("f2", "u2", text="Sorry."))
    assert spoken(await until(adapter, ResponseEnded)) == "Sorry."


@pytest.mark.asyncio
async def test_speaking_over_an_answer_stops_it(adapter: ProviderAdapter) -> None:
    await adapter.connect(REQUEST)
    await adapter.send(SpeechFrame("f1", "u1", text=LONG))
    await until(adapter, OutputAudio)
    await say(adapter, "goodbye")
    events = await until(adapter, SpeechStopped)
    (ended,) = [event for event in events if isinstance(event, ResponseEnded)]
    assert ended.status is ResponseStatus.CANCELLED


# The plane


def test_a_call_over_the_media_socket_is_heard_and_answered(
    local_provider_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Agent("turns")
    turns: list[str] = []
    answered = threading.Event()

    async def answers(session: RealtimeSession) -> None:
        async for turn in session.turns():
            turns.append(turn.text)
            await session.say(f"You want {turn.text}.")
            answered.set()

    app.session("desk", provider="local", transport="audio_turns", phrases=["a tea please", "goodbye"])(
        answers
    )

    def factory(provider: str, transport: str) -> AdapterFactory:
        assert (provider, transport) == ("local", "audio_turns")
        return lambda _: adapter_at(local_provider_url)

    with served(tmp_path, monkeypatch, agents=[app]) as server:
        monkeypatch.setattr(providers, "adapter_factory", factory)
        session_id = server.start("turns.desk")
        with media(server, session_id) as socket:
            ready(socket)
            for piece in _caller("a tea please"):
                socket.send(piece)
            heard = socket.recv(10)
            assert isinstance(heard, bytes) and len(heard) == FRAME_BYTES
            assert turns == ["a tea please"]
            assert answered.wait(10)


def _caller(text: str) -> list[bytes]:
    samples = asyncio.run(cached_speech(text, rate_hz=16_000))
    pcm = bytes(640 * 15) + samples.astype("<i2").tobytes() + bytes(640 * 40)
    return [pcm[start : start + 640] for start in range(0, len(pcm), 640)]


@pytest.mark.asyncio
async def test_openrouter_needs_its_own_key(tmp_path: Path) -> None:
    plane = Providers(Settings(data=tmp_path, openrouter_api_key=None, openai_api_key=None))
    with pytest.raises(ProviderUnavailable, match="OPENROUTER_API_KEY is required for provider=openrouter"):
        await plane.adapter("openrouter", "audio_turns")


# The vendor's client as the judge of the local endpoint


def vendor(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, _strict_response_validation=True)


def ask(client: openai.OpenAI, content: Any, **more: Any) -> list[ChatCompletionChunk]:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": content}],
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "pcm16"},
        stream=True,
        **more,
    )
    return list(stream)


def test_the_vendors_client_reads_every_chunk(local_provider_url: str) -> None:
    with vendor(local_provider_url) as client:
        chunks = ask(client, "Say exactly: Good morning.", stream_options={"include_usage": True})
    assert not [chunk.model_extra for chunk in chunks if chunk.model_extra]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert not [delta.model_extra for delta in deltas if delta.model_extra]
    audio = [delta.audio for delta in deltas if delta.audio is not None]
    assert "".join(sound.transcript or "" for sound in audio) == "Good morning."
    pcm = b"".join(base64.b64decode(sound.data) for sound in audio if sound.data is not None)
    assert len(pcm) > 300 * 48 and len(pcm) % 2 == 0
    assert audio[-1].expires_at is not None
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]
    usage = chunks[-1].usage
    assert usage is not None and (usage.completion_tokens, chunks[-1].choices) == (2, [])
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_vendors_client_is_heard_and_may_call_tools(local_provider_url: str) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    with vendor(local_provider_url) as client:
        chunks = ask(client, "look up it", tools=[tool])
        calls = [call for chunk in chunks for c in chunk.choices for call in c.delta.tool_calls or ()]
        assert calls[0].function is not None and calls[0].function.name == "look_up"
        assert "".join((call.function and call.function.arguments) or "" for call in calls) == "{}"
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.asyncio
async def test_the_vendors_client_may_have_speech_transcribed(local_provider_url: str) -> None:
    file = wav((await cached_speech("where is my order")).astype("<i2").tobytes())
    grammar = "#JSGF V1.0; grammar g; public <r> = where is my order | goodbye;"
    async with openai.AsyncOpenAI(base_url=f"{local_provider_url}/v1", api_key="any") as client:
        words = await client.audio.transcriptions.create(
            file=("turn.wav", file), model="whisper-1", prompt=grammar
        )
    assert words.text == "where is my order"


BODY: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "hello"}],
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "pcm16"},
    "stream": True,
}


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"stream": False}, "unsupported_value", "stream"),
        ({"audio": None}, "missing_required_parameter", "audio"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "unsupported_value", "audio.format"),
        ({"audio": {"voice": "nobody", "format": "pcm16"}}, "invalid_value", "audio.voice"),
        ({"modalities": ["text"]}, "invalid_value", "modalities"),
        ({"modalities": ["text"], "audio": None}, "invalid_value", "model"),
        ({"volume": 1}, "unknown_parameter", "volume"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "invalid_type", "messages[0].content"),
        (
            {"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]},
            "invalid_value",
            "messages[0].role",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}
                        ],
                    }
                ]
            },
            "invalid_value",
            "messages[0].content[0].input_audio.format",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
                        ],
                    }
                ]
            },
            "invalid_value",
            "messages[0].content[0].input_audio.data",
        ),
    ],
)
def test_what_the_vendor_would_refuse_is_refused_whole(
    local_provider_url: str, change: dict[str, Any], code: str, param: str
) -> None:
    answer = httpx.post(
        f"{local_provider_url}/v1/chat/completions",
        json={name: value for name, value in {**BODY, **change}.items() if value is not None},
        headers={"Authorization": "Bearer any"},
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
    assert error["type"] == "invalid_request_error"


def test_nobody_is_answered_without_a_key(local_provider_url: str) -> None:
    for path in ("chat/completions", "audio/transcriptions"):
        answer = httpx.post(f"{local_provider_url}/v1/{path}", json=BODY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
