"""Formats, turns, pictures and reports of openai/websocket against a provider as strict as the vendor."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from agentfield_adapters.local.running import LocalProvider
from agentfield_adapters.openai import local_websocket_adapter
from agentfield_rt.errors import CloseReason, ConnectionLost, Reason
from agentfield_rt.frames import (
    AudioFrame,
    ConnectionExpiring,
    ImageFrame,
    InputRejected,
    InputTranscript,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    RateLimitsReported,
    ResponseEnded,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    TurnEndFrame,
    UsageReported,
)
from agentfield_rt.ports import AudioFormat, ConnectRequest, ProviderAdapter, ProviderSettings, SessionConfig
from agentfield_rt.turn_detection import TurnDetection

SCENE = "senses: synthetic\npace: instant\ntranscripts: [where is my order]\n"
JPEG = b"\xff\xd8\xff" + bytes(20)
FRAME_SAMPLES = 480
TONE = (np.sin(np.arange(24_000) * (2 * np.pi * 440 / 24_000)) * 9000).astype("<i2").tobytes()
SILENCE = bytes(48_000)
FORMATS = [pytest.param(audio_format, id=audio_format.value) for audio_format in AudioFormat]
DETECTIONS = [
    pytest.param({"type": "server_vad", "silence_duration_ms": 320}, id="server_vad"),
    pytest.param({"type": "semantic_vad", "eagerness": "high"}, id="semantic_vad"),
    pytest.param(None, id="none"),
]


@asynccontextmanager
async def adapted(
    provider: LocalProvider, config: SessionConfig, *, scene: str = SCENE
) -> AsyncGenerator[ProviderAdapter]:
    provider.set_scenario(scene)
    adapter = local_websocket_adapter(ProviderSettings(base_url=provider.base_url()))
    await adapter.connect(ConnectRequest(session_id="s1", config=config))
    try:
        yield adapter
    finally:
        await adapter.close(CloseReason.NORMAL)


async def until(adapter: ProviderAdapter, last: type[ProviderEvent]) -> list[ProviderEvent]:
    events: list[ProviderEvent] = []
    async with asyncio.timeout(20):
        while not any(isinstance(event, last) for event in events):
            events += await adapter.receive(demand=100)
    return events


def words(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, OutputTranscript)).strip()


async def speak(adapter: ProviderAdapter, pcm: bytes) -> None:
    for start in range(0, len(pcm), FRAME_SAMPLES * 2):
        await adapter.send(AudioFrame("frame", pcm[start : start + FRAME_SAMPLES * 2]))


@pytest.mark.asyncio
@pytest.mark.parametrize("audio_format", FORMATS)
@pytest.mark.parametrize("detection", DETECTIONS)
async def test_a_turn_is_heard_and_answered(
    af_provider: LocalProvider, audio_format: AudioFormat, detection: TurnDetection | None
) -> None:
    config = SessionConfig(
        turn_detection=detection, create_response=True, input_format=audio_format, output_format=audio_format
    )
    async with adapted(af_provider, config) as adapter:
        await speak(adapter, TONE + SILENCE)
        if detection is None:
            await adapter.send(TurnEndFrame("end"))
        events = await until(adapter, ResponseEnded)
        if not any(isinstance(event, InputTranscript) for event in events):
            events += await until(adapter, InputTranscript)
        assert InputTranscript(_item_of(events), "where is my order", final=True) in events
        assert any(isinstance(event, SpeechStarted) for event in events) is (detection is not None)
        assert any(isinstance(event, SpeechStopped) for event in events) is (detection is not None)
        heard = b"".join(event.pcm for event in events if isinstance(event, OutputAudio))
        said = words(events)
        assert said == "You said: where is my order."
        assert len(heard) == len(said.split()) * 300 * 48, "tones of 300 ms a word, to the last sample"
        assert np.abs(np.frombuffer(heard, "<i2")).max() > 1000


def _item_of(events: list[ProviderEvent]) -> str:
    return next(event.item_id for event in events if isinstance(event, InputTranscript))


@pytest.mark.asyncio
async def test_the_end_of_a_turn_in_which_nothing_was_said_is_no_turn(af_provider: LocalProvider) -> None:
    async with adapted(af_provider, SessionConfig()) as adapter:
        await adapter.send(TurnEndFrame("end"))
        await adapter.send(SpeechFrame("f", "u", text="Still here."))
        events = await until(adapter, ResponseEnded)
        assert words(events) == "Still here."
        assert not any(isinstance(event, InputTranscript) for event in events)
        assert InputRejected("end", is_turn=False) in events


@pytest.mark.asyncio
async def test_a_picture_is_seen_and_paid_for(af_provider: LocalProvider) -> None:
    async with adapted(af_provider, SessionConfig()) as adapter:
        await adapter.send(ImageFrame("f1", JPEG, "image/jpeg"))
        await adapter.send(SpeechFrame("f2", "u1"))
        events = await until(adapter, RateLimitsReported)
        assert words(events) == "I see a picture."
        (usage,) = (event.usage for event in events if isinstance(event, UsageReported))
        assert (usage.input_image_tokens, usage.output_audio_tokens) == (1, 4)
        (limits,) = (event.limits for event in events if isinstance(event, RateLimitsReported))
        assert [limit.name for limit in limits] == ["tokens"]


@pytest.mark.asyncio
async def test_a_session_says_that_it_will_end_and_then_ends(af_provider: LocalProvider) -> None:
    async with adapted(af_provider, SessionConfig(), scene=SCENE + "lifetime_s: 2\n") as adapter:
        (expiring,) = (
            e for e in await until(adapter, ConnectionExpiring) if isinstance(e, ConnectionExpiring)
        )
        assert 0 < expiring.left_s <= 1
        with pytest.raises(ConnectionLost) as raised:
            async with asyncio.timeout(10):
                while True:
                    await adapter.receive(demand=100)
        assert raised.value.reason is Reason.SESSION_EXPIRED
