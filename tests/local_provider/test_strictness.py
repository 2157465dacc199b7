"""What is refused, with which code, and that a refusal changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local_provider.provider_process import RunningProvider
from tests.local_provider.realtime_client import session

FUNCTION = {"type": "function", "name": "order_status"}
REFUSED_UPDATES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_required_parameter", "session.type"),
    ({"type": "realtime", "voice": "marin"}, "unknown_parameter", "session.voice"),
    ({"type": "realtime", "input_audio_format": "pcm16"}, "unknown_parameter", "session.input_audio_format"),
    (
        {
            "type": "realtime",
            "tools": [{"type": "function", "name": "a"}, {"type": "function", "name": "b", "meta": 1}],
        },
        "unknown_parameter",
        "session.tools[1].meta",
    ),
    (
        {
            "type": "realtime",
            "audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": None}}},
        },
        "invalid_type",
        "session.audio.input.turn_detection.create_response",
    ),
    ({"type": "realtime", "instructions": 5}, "invalid_type", "session.instructions"),
    ({"type": "realtime", "max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
    (
        {"type": "realtime", "output_modalities": ["audio", "text"]},
        "invalid_value",
        "session.output_modalities",
    ),
    ({"type": "realtime", "model": "another"}, "invalid_value", "session.model"),
    (
        {"type": "realtime", "audio": {"output": {"voice": "nobody"}}},
        "invalid_value",
        "session.audio.output.voice",
    ),
    (
        {"type": "realtime", "audio": {"input": {"transcription": {"prompt": "#JSGF V1.0; no grammar"}}}},
        "invalid_value",
        "session.audio.input.transcription.prompt",
    ),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("update", "code", "param"), REFUSED_UPDATES)
async def test_a_wrong_update_is_refused_whole(
    provider: RunningProvider, update: dict[str, Any], code: str, param: str
) -> None:
    async with session(provider) as client:
        before = (await client.next())["session"]
        wrong = {**update, "parallel_tool_calls": False}
        error = (await client.ask("session.update", "error", session=wrong, event_id="mine"))["error"]
        assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
        after = (await client.configure())["session"]
        assert after == before


@pytest.mark.asyncio
async def test_a_grammar_with_an_unpronounceable_word_is_refused_by_name(provider: RunningProvider) -> None:
    prompt = "#JSGF V1.0; grammar a; public <s> = hello | xyzzyquux;"
    async with session(provider) as client:
        await client.next()
        update = {"type": "realtime", "audio": {"input": {"transcription": {"prompt": prompt}}}}
        error = (await client.ask("session.update", "error", session=update))["error"]
        assert error["code"] == "invalid_value"
        assert "xyzzyquux" in error["message"]


@pytest.mark.asyncio
async def test_the_voice_is_fixed_once_it_has_been_heard(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.say("Hello.")
        await client.until("response.done")
        update = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
        error = (await client.ask("session.update", "error", session=update))["error"]
        assert error["code"] == "cannot_update_voice"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "session.explode"}, "invalid_value"),
        ({"type": "conversation.item.retrieve", "item_id": "none"}, "item_retrieve_invalid_item_id"),
        ({"type": "conversation.item.delete", "item_id": "none"}, "item_delete_invalid_item_id"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
        ({"type": "input_audio_buffer.append", "audio": "%%%"}, "invalid_value"),
        ({"type": "output_audio_buffer.clear"}, "invalid_value"),
        (
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "output_text", "text": "x"}],
                },
            },
            "invalid_value",
        ),
    ],
)
async def test_a_wrong_event_is_answered_with_its_code(
    provider: RunningProvider, event: dict[str, Any], code: str
) -> None:
    async with session(provider) as client:
        await client.next()
        kind = event.pop("type")
        error = (await client.ask(kind, "error", **event))["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", code)


@pytest.mark.asyncio
@pytest.mark.parametrize("frame", ["", "{", "[]", "null", b"\xff\xfe", "5"])
async def test_a_frame_that_is_no_event_is_refused_and_the_session_goes_on(
    provider: RunningProvider, frame: str | bytes
) -> None:
    async with session(provider) as client:
        await client.next()
        await client.socket.send(frame)
        assert (await client.next())["type"] == "error"
        assert (await client.configure())["type"] == "session.updated"


@pytest.mark.asyncio
async def test_items_keep_the_ids_and_places_a_client_gives_them(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        for key, place in (("first", {}), ("last", {}), ("middle", {"previous_item_id": "first"})):
            item = {
                "id": key,
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": key}],
            }
            await client.ask("conversation.item.create", "conversation.item.done", item=item, **place)
        added = {
            event["item"]["id"]: event["previous_item_id"] for event in client.all("conversation.item.added")
        }
        assert added == {"first": None, "last": "first", "middle": "first"}
        again: dict[str, Any] = {"id": "first", "type": "message", "role": "user", "content": []}
        error = (await client.ask("conversation.item.create", "error", item=again))["error"]
        assert "already exists" in error["message"]
