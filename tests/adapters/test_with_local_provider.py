"""The production adapters against the real provider of this machine: no key, no network, no script."""

import asyncio
from dataclasses import replace

import pytest

from agentfield_adapters.openai import local_webrtc_adapter, local_websocket_adapter
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    CallEnded,
    OutputAudio,
    OutputTranscript,
    OutputTruncated,
    PlaybackStarted,
    PlaybackStopped,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
)
from agentfield_rt.ports import ConnectRequest, ProviderAdapter, ProviderSettings, SessionConfig, ToolSpec
from tests.adapters.caller import SilentCaller

REQUEST = ConnectRequest(
    session_id="s1",
    config=SessionConfig(
        phrases=("a <drink> please", "goodbye"),
        rules={"drink": "coffee | tea"},
        turn_detection={"type": "server_vad", "silence_duration_ms": 320},
        tools=(
            ToolSpec(
                name="look_up",
                description="Finds a price.",
                parameters={"type": "object", "properties": {"drink": {"type": "string"}}},
            ),
        ),
    ),
)
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


async def until(adapter: ProviderAdapter, last: type[ProviderEvent]) -> list[ProviderEvent]:
    """Receive until an event of this type has come."""
    events: list[ProviderEvent] = []
    async with asyncio.timeout(10):
        while not any(isinstance(event, last) for event in events):
            events += await adapter.receive(demand=1)
    return events


def spoken(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, OutputTranscript)).strip()


@pytest.mark.asyncio
async def test_speech_is_spoken_word_for_word_and_in_order(local_provider_url: str) -> None:
    adapter = local_websocket_adapter(ProviderSettings(base_url=local_provider_url))
    await adapter.connect(REQUEST)
    await adapter.send(SpeechFrame("f1", "u1", text="Welcome to the shop."))
    await adapter.send(SpeechFrame("f2", "u2", text="What can I get you?"))
    for utterance_id, text in [("u1", "Welcome to the shop."), ("u2", "What can I get you?")]:
        events = await until(adapter, ResponseEnded)
        assert [e.utterance_id for e in events if isinstance(e, ResponseStarted)] == [utterance_id]
        assert spoken(events) == text
        assert sum(len(e.pcm) for e in events if isinstance(e, OutputAudio)) > 300 * 48
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_tool_is_called_and_its_output_answered(local_provider_url: str) -> None:
    adapter = local_websocket_adapter(ProviderSettings(base_url=local_provider_url))
    await adapter.connect(REQUEST)
    await adapter.send(TextFrame("f1", "Please look up Coffee"))
    await adapter.send(SpeechFrame("f2", "u1"))
    events = await until(adapter, ResponseEnded)
    called = next(event for event in events if isinstance(event, ToolCalled))
    assert called.name == "look_up"
    await adapter.send(ToolResultFrame("f3", called.call_id, "three euros"))
    assert spoken(await until(adapter, ResponseEnded)) == "The answer is: three euros"
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_an_interrupted_answer_keeps_what_was_heard(local_provider_url: str) -> None:
    adapter = local_websocket_adapter(ProviderSettings(base_url=local_provider_url))
    await adapter.connect(REQUEST)
    await adapter.send(SpeechFrame("f1", "u1", text=LONG))
    started = next(e for e in await until(adapter, OutputAudio) if isinstance(e, OutputAudio))
    await adapter.interrupt(started.response_id, heard_ms=60)
    events = await until(adapter, OutputTruncated)
    assert not [event for event in events if isinstance(event, OutputAudio)]
    assert ResponseEnded(started.response_id, ResponseStatus.CANCELLED) in events
    assert OutputTruncated(started.item_id, 60) in events
    await adapter.send(SpeechFrame("f2", "u2", text="Sorry."))
    assert spoken(await until(adapter, ResponseEnded)) == "Sorry."
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_session_it_cannot_have_is_refused(local_provider_url: str) -> None:
    adapter = local_websocket_adapter(ProviderSettings(base_url=local_provider_url))
    with pytest.raises(ProviderError, match="invalid_value") as raised:
        await adapter.connect(replace(REQUEST, config=replace(REQUEST.config, voice="nobody")))
    assert (raised.value.reason, raised.value.not_done) == (Reason.INVALID_REQUEST, True)


@pytest.mark.asyncio
async def test_a_call_is_spoken_to_interrupted_and_ended_by_the_caller(local_provider_url: str) -> None:
    adapter = local_webrtc_adapter(ProviderSettings(base_url=local_provider_url))
    caller = SilentCaller()
    connected = await adapter.connect(replace(REQUEST, offer_sdp=await caller.offer()))
    assert connected.connection_id.startswith("rtc_") and connected.answer_sdp is not None
    await caller.accept(connected.answer_sdp)

    await adapter.send(SpeechFrame("f1", "u1", text="Hello."))
    events = await until(adapter, PlaybackStopped)
    assert spoken(events) == "Hello."
    assert not [event for event in events if isinstance(event, OutputAudio)]

    await adapter.send(SpeechFrame("f2", "u2", text=LONG))
    playing = next(e for e in await until(adapter, PlaybackStarted) if isinstance(e, PlaybackStarted))
    await adapter.interrupt(playing.response_id, heard_ms=None)
    events = await until(adapter, ResponseEnded)
    assert PlaybackStopped(playing.response_id, cleared=True) in events

    await caller.hang_up()
    await until(adapter, CallEnded)
    with pytest.raises(ConnectionLost) as raised:
        await adapter.receive(demand=1)
    assert not raised.value.retryable
    await adapter.close(CloseReason.CALLER_GONE)


@pytest.mark.asyncio
async def test_a_sideband_can_join_its_call_again_and_hang_it_up(local_provider_url: str) -> None:
    adapter = local_webrtc_adapter(ProviderSettings(base_url=local_provider_url))
    caller = SilentCaller()
    connected = await adapter.connect(replace(REQUEST, offer_sdp=await caller.offer()))
    await caller.accept(connected.answer_sdp or "")
    again = await adapter.restart(REQUEST)
    assert again.connection_id == f"{connected.connection_id}.2"
    await until(adapter, PlaybackStopped)  # it falls silent first
    await adapter.send(SpeechFrame("f1", "u1", text="Still here."))
    assert spoken(await until(adapter, PlaybackStopped)) == "Still here."
    await adapter.close(CloseReason.NORMAL)
    with pytest.raises(ConnectionLost):
        await adapter.restart(REQUEST)
    await caller.hang_up()
