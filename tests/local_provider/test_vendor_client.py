"""The vendor's own Python client talks to the provider; its types parse each event strictly."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import ConversationItemTruncatedEvent, RealtimeErrorEvent, ResponseDoneEvent
from openai.types.realtime.realtime_conversation_item_function_call import (
    RealtimeConversationItemFunctionCall,
)
from pydantic import BaseModel, ValidationError

from agentfield_adapters.local.running import LocalProvider
from tests.local_provider.provider_process import RunningProvider
from tests.local_provider.vendor_types import judged

RATE_HZ = 24_000
WAIT_S = 20
TONE = (np.sin(np.arange(RATE_HZ) * (2 * np.pi * 440 / RATE_HZ)) * 8000).astype("<i2").tobytes()
SECOND_OF_SILENCE = bytes(RATE_HZ * 2)


class Judge:
    """A connection of the vendor's client whose every event is judged."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.kinds: list[str] = []

    async def until(self, kind: str) -> BaseModel:
        """Return the next event of a type."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = judged(await self.connection.recv_bytes())
                self.kinds.append(str(getattr(event, "type", "")))
                if self.kinds[-1] == kind:
                    return event

    async def configure(self) -> None:
        """Set all that a voice session sets."""
        await self.connection.session.update(
            session={
                "type": "realtime",
                "instructions": "Be brief.",
                "tools": [{"type": "function", "name": "look_up", "parameters": {"type": "object"}}],
                "audio": {
                    "input": {
                        "transcription": {"model": "gpt-4o-transcribe"},
                        "turn_detection": {"type": "server_vad", "create_response": True},
                    },
                    "output": {"voice": "cedar", "format": {"type": "audio/pcm", "rate": 24000}},
                },
            }
        )
        await self.until("session.updated")


@asynccontextmanager
async def connected(base_url: str) -> AsyncGenerator[Judge]:
    async with (
        AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        judge = Judge(connection)
        await judge.until("session.created")
        yield judge


@pytest.mark.asyncio
async def test_a_typed_turn_a_tool_call_and_its_answer(af_provider: LocalProvider) -> None:
    async with connected(af_provider.base_url()) as judge:
        await judge.configure()

        await judge.connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "please look up Coffee"}],
            }
        )
        await judge.connection.response.create()
        done = await judge.until("response.done")
        assert isinstance(done, ResponseDoneEvent) and done.response.output
        called = done.response.output[0]
        assert isinstance(called, RealtimeConversationItemFunctionCall) and called.call_id
        await judge.connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": called.call_id, "output": "3 euros"}
        )
        await judge.connection.response.create()
        await judge.until("rate_limits.updated")
        await judge.until("rate_limits.updated")
        assert "response.output_audio.delta" in judge.kinds


@pytest.mark.asyncio
async def test_a_spoken_turn_is_heard_transcribed_and_answered(af_provider: LocalProvider) -> None:
    af_provider.set_scenario("senses: synthetic\npace: instant\ntranscripts: [where is my order]\n")
    async with connected(af_provider.base_url()) as judge:
        await judge.configure()
        audio = base64.b64encode(TONE + SECOND_OF_SILENCE).decode()
        await judge.connection.input_audio_buffer.append(audio=audio)
        await judge.until("rate_limits.updated")
        heard = "conversation.item.input_audio_transcription.completed"
        assert {"input_audio_buffer.speech_started", "input_audio_buffer.committed", heard} <= set(
            judge.kinds
        )


@pytest.mark.asyncio
async def test_an_answer_is_cut_and_the_rest_of_the_protocol_is_as_typed(af_provider: LocalProvider) -> None:
    async with connected(af_provider.base_url()) as judge:
        say = judge.connection.response.create
        await say(response={"instructions": "Say exactly: One two three.", "metadata": {"turn": "1"}})
        done = await judge.until("response.done")
        assert isinstance(done, ResponseDoneEvent) and done.response.output
        item_id = done.response.output[0].id
        assert item_id is not None
        items = judge.connection.conversation.item
        await items.truncate(item_id=item_id, content_index=0, audio_end_ms=300)
        assert isinstance(await judge.until("conversation.item.truncated"), ConversationItemTruncatedEvent)
        await items.retrieve(item_id=item_id)
        await judge.until("conversation.item.retrieved")
        await items.delete(item_id=item_id)
        await judge.until("conversation.item.deleted")
        await judge.connection.input_audio_buffer.clear()
        await judge.until("input_audio_buffer.cleared")
        await say(response={"output_modalities": ["text"], "instructions": "Say exactly: Hi there."})
        await judge.until("rate_limits.updated")
        assert "response.output_text.delta" in judge.kinds


@pytest.mark.asyncio
async def test_a_refusal_is_the_vendors_error_and_names_the_event(af_provider: LocalProvider) -> None:
    async with connected(af_provider.base_url()) as judge:
        await judge.connection.response.cancel(event_id="mine")
        refusal = await judge.until("error")
        assert isinstance(refusal, RealtimeErrorEvent)
        assert (refusal.error.code, refusal.error.event_id) == ("response_cancel_not_active", "mine")


@pytest.mark.asyncio
async def test_the_output_of_a_call_that_was_never_made_is_refused(af_provider: LocalProvider) -> None:
    async with connected(af_provider.base_url()) as judge:
        await judge.connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": "call_none", "output": "3 euros"}
        )
        refusal = await judge.until("error")
        assert isinstance(refusal, RealtimeErrorEvent)
        assert refusal.error.code == "invalid_tool_call_id"


@pytest.mark.asyncio
async def test_real_ears_and_mouth_send_nothing_else(provider: RunningProvider) -> None:
    async with connected(f"{provider.url}/v1") as judge:
        await judge.configure()
        await judge.connection.response.create(response={"instructions": "Say exactly: Good morning."})
        await judge.until("rate_limits.updated")


def test_the_judge_is_strict() -> None:
    cleared = {"type": "input_audio_buffer.cleared", "event_id": "event_1"}
    judged(json.dumps(cleared))
    with pytest.raises(AssertionError, match="surprise"):
        judged(json.dumps({**cleared, "surprise": 1}))
    with pytest.raises(ValidationError):
        judged(json.dumps({**cleared, "event_id": 1}))
    with pytest.raises(ValidationError):
        judged(json.dumps({**cleared, "type": "surprise.arrived"}))
