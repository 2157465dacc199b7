"""An answer that stops coming while its connection lives: it is asked after, and nobody waits for ever."""

import asyncio

import pytest

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai import stalls
from agentfield_adapters.openai.conversation import Conversation
from agentfield_adapters.openai.server_events import AudioDelta, ResponseCreated, ResponseDone, ResponseInfo
from agentfield_adapters.openai.stalls import StallWatch
from agentfield_rt.errors import Reason
from agentfield_rt.frames import (
    Notice,
    OutputAudio,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
)
from tests.adapters import peer as wire
from tests.adapters.websocket_line import MS, Line, speaking
from tests.virtual_time import time_passes

STALLED = Notice("response", "stalled")
NOT_ACTIVE = "response_cancel_not_active"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "STALLED_S", 0.1)


async def seen_until(line: Line, last: type[ProviderEvent]) -> list[ProviderEvent]:
    seen: list[ProviderEvent] = []
    async with asyncio.timeout(5):
        while not any(isinstance(event, last) for event in seen):
            seen += await line.adapter.receive(demand=1)
    return seen


@pytest.mark.asyncio
@pytest.mark.usefixtures("quick")
async def test_an_answer_whose_end_was_lost_ends_and_the_next_one_is_asked_for(line: Line) -> None:
    await line.adapter.send(SpeechFrame("f1", "u1", text="one"))
    await line.adapter.send(SpeechFrame("f2", "u2", text="two"))
    first = await line.socket.take("response.create")
    await line.socket.give(wire.created("r1", first["response"]["metadata"]), wire.audio("r1", MS))
    cancel = await line.socket.take("response.cancel")
    assert "response_id" not in cancel
    await line.socket.give(wire.error(NOT_ACTIVE, event_id=cancel["event_id"]))
    seen = await seen_until(line, ResponseEnded)
    assert [event for event in seen if isinstance(event, Notice)][-2:] == [
        STALLED,
        Notice("error", NOT_ACTIVE),
    ]
    assert seen[-1] == ResponseEnded("r1", ResponseStatus.INCOMPLETE)
    second = await line.socket.take("response.create")
    assert second["response"]["metadata"]["utterance_id"] == "u2"


@pytest.mark.asyncio
@pytest.mark.usefixtures("quick")
async def test_a_request_that_was_never_heard_of_has_failed(line: Line) -> None:
    await line.adapter.send(SpeechFrame("f1", "u1", text="one"))
    asked = await line.socket.take("response.create")
    cancel = await line.socket.take("response.cancel")
    await line.socket.give(wire.error(NOT_ACTIVE, event_id=cancel["event_id"]))
    seen = await seen_until(line, ResponseEnded)
    request_id = asked["event_id"]
    assert seen[-2:] == [
        ResponseStarted(request_id, "u1"),
        ResponseEnded(request_id, ResponseStatus.FAILED, Reason.TIMEOUT),
    ]


@pytest.mark.asyncio
@pytest.mark.usefixtures("quick")
async def test_an_answer_that_can_still_be_cancelled_ends_as_cancelled(line: Line) -> None:
    await speaking(line, ms=1)
    await line.socket.take("response.cancel")
    await line.socket.give(wire.done("r", "cancelled"))
    seen = await seen_until(line, ResponseEnded)
    assert seen == [STALLED, ResponseEnded("r", ResponseStatus.CANCELLED)]


@pytest.mark.asyncio
@pytest.mark.usefixtures("quick")
async def test_a_provider_that_says_nothing_at_all_is_lost(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "CONFIRM_S", 0.05)
    await speaking(line, ms=1)
    await line.socket.take("response.cancel")
    loss = await line.lost()
    assert (loss.reason, loss.retryable) == (Reason.TIMEOUT, True)


@pytest.mark.asyncio
@pytest.mark.usefixtures("quick")
async def test_an_answer_that_goes_on_while_it_is_asked_after_is_not_given_up(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "CONFIRM_S", 0.05)
    await speaking(line, ms=1)
    await line.socket.take("response.cancel")
    await line.socket.give(wire.audio("r", MS))
    assert OutputAudio("r", "item_1", MS) in await seen_until(line, OutputAudio)
    await line.socket.take("response.cancel")
    await line.socket.give(wire.audio("r", MS), wire.done("r"))
    assert (await seen_until(line, ResponseEnded))[-1] == ResponseEnded("r", ResponseStatus.COMPLETED)


async def asked_after(conversation: Conversation, buffer: EventBuffer) -> list[client.ClientEvent]:
    """What a watch asks within ten looks."""
    asked: list[client.ClientEvent] = []

    async def ask(event: client.ClientEvent, *keys: str, within_s: float) -> str | None:
        asked.append(event)
        return None

    async def request() -> None:
        raise AssertionError("no response waits here")

    watching = asyncio.create_task(StallWatch(conversation, buffer, ask=ask, request=request).run())
    await time_passes(10 * stalls.STALLED_S)
    watching.cancel()
    await asyncio.wait([watching])
    return asked


@pytest.mark.virtual_time
async def test_nobody_is_asked_after_while_nothing_is_owed() -> None:
    conversation = Conversation("tag")
    conversation.react(ResponseCreated(ResponseInfo("r")))
    conversation.react(ResponseDone(ResponseInfo("r", "completed")))
    assert await asked_after(conversation, EventBuffer(events_max=4)) == []


@pytest.mark.virtual_time
async def test_a_runtime_that_is_behind_is_not_taken_for_a_provider_that_stopped() -> None:
    conversation, buffer = Conversation("tag"), EventBuffer(events_max=2)
    for event in (ResponseCreated(ResponseInfo("r")), AudioDelta("r", "item", MS)):
        for meaning in conversation.react(event):
            buffer.append(meaning)
    assert buffer.is_full
    assert await asked_after(conversation, buffer) == []
    await buffer.take(2)
    assert len(await asked_after(conversation, buffer)) == 1
