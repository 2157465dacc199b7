"""What a websocket client is sent for an answer: the events, their order, and what an interruption leaves."""

from __future__ import annotations

import base64
import json
import re

import pytest

from tests.local_provider.provider_process import RunningProvider, running_provider
from tests.local_provider.realtime_client import Event, RealtimeClient, session

SPOKEN_ANSWER = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
TOOL = {
    "type": "function",
    "name": "order_status",
    "description": "Where an order is.",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
}

_DRAWN = re.compile(r"\b[a-z]+_[A-Za-z0-9]{21}\b")


def once(kinds: list[str]) -> list[str]:
    """Return the types in the order of their first appearance."""
    return list(dict.fromkeys(kinds))


@pytest.mark.asyncio
async def test_a_session_begins_with_its_settings_and_no_conversation_event(
    provider: RunningProvider,
) -> None:
    async with session(provider) as client:
        created = await client.next()
        assert created["type"] == "session.created"
        settings = created["session"]
        assert settings["object"] == "realtime.session"
        assert settings["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200
        assert settings["audio"]["input"]["transcription"] is None
        updated = await client.configure(instructions="Be brief.")
        assert updated["session"] == {**settings, "instructions": "Be brief."}


@pytest.mark.asyncio
async def test_a_spoken_answer_says_the_words_it_was_told_in_the_order_of_the_service(
    provider: RunningProvider,
) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("Your order is on its way.", metadata={"turn": "1"})
        done = await client.until("response.done")
        await client.until("rate_limits.updated")
        assert once(client.kinds(since="session.created")) == SPOKEN_ANSWER
        assert done["response"]["status"] == "completed"
        assert done["response"]["metadata"] == {"turn": "1"}
        (item,) = done["response"]["output"]
        assert item["content"] == [{"type": "output_audio", "transcript": "Your order is on its way."}]
        deltas = client.all("response.output_audio_transcript.delta")
        assert "".join(delta["delta"] for delta in deltas) == "Your order is on its way."
        audio = b"".join(base64.b64decode(e["delta"]) for e in client.all("response.output_audio.delta"))
        assert 1.0 < len(audio) / 48_000 < 4.0


@pytest.mark.asyncio
async def test_words_and_samples_are_sent_in_word_order(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("One two three.")
        await client.until("response.done")
        kinds = client.kinds(since="response.content_part.added")
        word, audio = "response.output_audio_transcript.delta", "response.output_audio.delta"
        assert kinds[:6] == [word, audio] * 3


@pytest.mark.asyncio
async def test_a_written_answer_has_text_events_and_no_audio(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("In writing.", output_modalities=["text"])
        done = await client.until("response.done")
        assert done["response"]["output"][0]["content"] == [{"type": "output_text", "text": "In writing."}]
        assert not client.all("response.output_audio.delta")
        assert client.all("response.output_text.done")[0]["text"] == "In writing."


@pytest.mark.asyncio
async def test_typed_input_is_answered_when_asked_for(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await add_text(client, "good morning")
        await client.send("response.create")
        done = await client.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "You said: good morning."


@pytest.mark.asyncio
async def test_a_named_tool_is_called_and_its_output_quoted(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.configure(tools=[TOOL])
        await add_text(client, "What is the order status of 42?")
        await client.send("response.create")
        done = await client.until("response.done")
        (call,) = done["response"]["output"]
        assert (call["type"], call["name"], json.loads(call["arguments"])) == (
            "function_call",
            "order_status",
            {"number": 42},
        )
        arguments = client.all("response.function_call_arguments.done")
        assert [event["arguments"] for event in arguments] == [call["arguments"]]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "shipped"}
        await client.ask("conversation.item.create", "conversation.item.done", item=output)
        await client.send("response.create")
        answer = await client.until("response.done")
        assert "shipped" in answer["response"]["output"][0]["content"][0]["transcript"]


@pytest.mark.asyncio
async def test_a_second_answer_is_refused_while_one_is_given(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("A sentence that takes a little while to say.")
        await client.until("response.created")
        refusal = await client.ask("response.create", "error", event_id="mine")
        assert refusal["error"]["code"] == "conversation_already_has_active_response"
        assert refusal["error"]["event_id"] == "mine"
        assert (await client.until("response.done"))["response"]["status"] == "completed"


@pytest.mark.asyncio
async def test_a_cancelled_answer_closes_every_event_it_opened(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("One two three four five six seven eight nine ten eleven twelve.")
        await client.until("response.output_audio.delta")
        done = await client.ask("response.cancel", "response.done")
        assert done["response"]["status"] == "cancelled"
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        assert done["response"]["output"][0]["status"] == "incomplete"
        assert once(client.kinds(since="session.created"))[-2:] == [
            "response.output_item.done",
            "response.done",
        ]
        refusal = await client.ask("response.cancel", "error")
        assert refusal["error"]["code"] == "response_cancel_not_active"


@pytest.mark.asyncio
async def test_truncation_is_clamped_to_what_was_sent_and_removes_the_transcript(
    provider: RunningProvider,
) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("One two three.")
        item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
        cut = {"item_id": item_id, "content_index": 0}
        refusal = await client.ask("conversation.item.truncate", "error", audio_end_ms=60_000, **cut)
        assert "already shorter than" in refusal["error"]["message"]
        truncated = await client.ask(
            "conversation.item.truncate", "conversation.item.truncated", audio_end_ms=300, **cut
        )
        assert truncated["audio_end_ms"] == 300
        kept = await client.ask("conversation.item.retrieve", "conversation.item.retrieved", item_id=item_id)
        assert kept["item"]["content"] == [{"type": "output_audio"}]


@pytest.mark.asyncio
async def test_an_answer_outside_the_conversation_leaves_it_alone(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("Aside.", conversation="none", output_modalities=["text"])
        done = await client.until("response.done")
        assert done["response"]["conversation_id"] is None
        assert not client.all("conversation.item.added")


@pytest.mark.asyncio
async def test_telephone_formats_are_sent_as_eight_kilohertz(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.configure(audio={"output": {"format": {"type": "audio/pcmu"}}})
        await client.say("One two three.")
        await client.until("response.done")
        data = b"".join(base64.b64decode(e["delta"]) for e in client.all("response.output_audio.delta"))
        assert 0.5 < len(data) / 8_000 < 2.5


@pytest.mark.asyncio
async def test_two_providers_with_one_seed_send_the_same_events() -> None:
    typed: list[list[str]] = []
    spoken: list[list[list[str]]] = []
    for _ in range(2):
        with running_provider("--seed", "11") as running:
            async with session(running) as client:
                await client.next()
                await client.listen_for_requests()
                await add_text(client, "where is my order")
                await client.ask("response.create", "rate_limits.updated")
                typed.append([without_time(event) for event in client.events])
                await client.speak("where is my order")
                await client.until("rate_limits.updated")
                spoken.append(in_their_lines(client.events[len(typed[-1]) :]))
    assert typed[0] == typed[1]
    assert spoken[0] == spoken[1]


async def add_text(client: RealtimeClient, text: str) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await client.ask("conversation.item.create", "conversation.item.done", item=item)


def in_their_lines(events: list[Event]) -> list[list[str]]:
    """What the ears say, and the rest: they are processes of their own, so which comes first is chance.

    Ids and padding are drawn as events are sent, so only which of them are the same is compared.
    """
    lines: list[list[str]] = [[], []]
    for event in events:
        is_heard = str(event["type"]).startswith("conversation.item.input_audio_transcription")
        plain = {key: value for key, value in event.items() if key not in ("event_id", "obfuscation")}
        lines[is_heard].append(without_time(plain))
    names: dict[str, str] = {}

    def named(drawn: re.Match[str]) -> str:
        return names.setdefault(drawn.group(), f"id {len(names)}")

    return [[_DRAWN.sub(named, event) for event in line] for line in lines]


def without_time(event: dict[str, object]) -> str:
    settings = event.get("session")
    if isinstance(settings, dict):
        event = {**event, "session": {**settings, "expires_at": 0}}
    return json.dumps(event, sort_keys=True)
