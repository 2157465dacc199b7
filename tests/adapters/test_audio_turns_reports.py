"""openrouter/audio_turns: turns that are ended by hand, what an answer cost, and what it cannot do."""

from dataclasses import replace
from typing import Any

import pytest

from agentfield_adapters.openrouter import audio_turns_adapter
from agentfield_rt.errors import CloseReason, ProviderError, Reason
from agentfield_rt.frames import (
    AudioFrame,
    ImageFrame,
    ResponseEnded,
    ResponseStatus,
    TurnEndFrame,
    Usage,
    UsageReported,
)
from agentfield_rt.ports import AudioFormat, ProviderSettings
from tests.adapters.audio_turns_line import KEY, MS, REQUEST, Line
from tests.adapters.chat_peer import ChatPeer, spoken

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("answers", [True, False], ids=["answers by itself", "has a handler"])
async def test_the_end_of_a_turn_by_hand(chat_peer: ChatPeer, answers: bool) -> None:
    line = Line(chat_peer)
    await line.connect(replace(REQUEST, config=replace(REQUEST.config, create_response=answers)))
    await line.adapter.send(TurnEndFrame("nothing was said"))
    await line.adapter.send(AudioFrame("f1", MS * 200))
    await line.adapter.send(TurnEndFrame("f2"))
    if answers:
        exchange = await chat_peer.next_answer()
        (part,) = exchange.body["messages"][-1]["content"]
        assert part["type"] == "input_audio"
        await exchange.begin()
        await exchange.done()
        assert (await line.ended()).status is ResponseStatus.COMPLETED
    await line.adapter.close(CloseReason.NORMAL)
    assert chat_peer.completions == int(answers)


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        pytest.param(
            {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "total_tokens": 29,
                "cost": 0.003,
                "prompt_tokens_details": {"audio_tokens": 12, "cached_tokens": 4},
                "completion_tokens_details": {"audio_tokens": 7, "reasoning_tokens": 1},
            },
            Usage(
                input_tokens=20,
                output_tokens=9,
                input_audio_tokens=12,
                input_cached_tokens=4,
                output_audio_tokens=7,
                output_reasoning_tokens=1,
            ),
            id="told",
        ),
        pytest.param("canary", None, id="nonsense"),
        pytest.param(None, None, id="null"),
    ],
)
async def test_what_an_answer_cost_is_told_before_its_end(
    chat_line: Line, told: Any, usage: Usage | None
) -> None:
    response_id, exchange = await chat_line.asked()
    assert exchange.body["stream_options"] == {"include_usage": True}
    await exchange.begin()
    await exchange.give(*spoken("Hello.", MS), {"choices": [], "usage": told})
    await exchange.done()
    assert await chat_line.until(ResponseEnded) == ResponseEnded(response_id, ResponseStatus.COMPLETED)
    costs = [event for event in chat_line.seen if isinstance(event, UsageReported)]
    assert costs == ([] if usage is None else [UsageReported(usage, response_id)])


async def test_a_picture_is_refused_before_anything_is_sent(chat_line: Line) -> None:
    with pytest.raises(ProviderError) as raised:
        await chat_line.adapter.send(ImageFrame("f", b"\xff\xd8\xff", "image/jpeg"))
    assert (raised.value.reason, raised.value.not_done) == (Reason.INVALID_REQUEST, True)
    assert chat_line.peer.is_asked_nothing


async def test_telephone_audio_is_refused_at_once(chat_peer: ChatPeer) -> None:
    adapter = audio_turns_adapter(ProviderSettings(base_url=chat_peer.url, api_key=KEY))
    config = replace(REQUEST.config, output_format=AudioFormat.G711_ULAW)
    with pytest.raises(ProviderError, match="transport=websocket") as raised:
        await adapter.connect(replace(REQUEST, config=config))
    assert (raised.value.reason, raised.value.not_done) == (Reason.INVALID_REQUEST, True)
