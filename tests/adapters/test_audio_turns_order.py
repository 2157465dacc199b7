"""openrouter/audio_turns: answers one at a time, interrupted, cancelled, closed; tools that return."""

import asyncio
import contextlib

import pytest

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_adapters.openrouter import adapter, turns
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    OutputAudio,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
)
from tests.adapters.audio_turns_line import MS, REQUEST, Line
from tests.adapters.chat_peer import ChatPeer, delta, spoken

pytestmark = pytest.mark.asyncio
PIECE_EVENTS_MAX = 64 * 1024 // 300
"""Events of this size in what is read from the socket at once."""


@pytest.fixture
def peer(chat_peer: ChatPeer) -> ChatPeer:
    return chat_peer


@pytest.fixture
def line(chat_line: Line) -> Line:
    return chat_line


async def test_an_interrupt_closes_the_request_and_the_conversation_keeps_what_was_heard(line: Line) -> None:
    await line.adapter.send(TextFrame("t1", "Count"))
    response_id, exchange = await line.asked()
    await exchange.begin()
    for number in ("one ", "two ", "three ", "four "):
        await exchange.give(*spoken(number, MS * 500))
    for _ in range(4):
        await line.until(OutputAudio)
    await exchange.give(*spoken("never received", MS * 500))
    await asyncio.gather(line.adapter.interrupt(response_id, heard_ms=900), exchange.closed_by_client())
    assert await line.ended() == ResponseEnded(response_id, ResponseStatus.CANCELLED)
    _, exchange = await line.asked(SpeechFrame("f2", "u2"))
    assert exchange.body["messages"][1:] == [
        {"role": "user", "content": "Count"},
        {"role": "assistant", "content": "one two"},
    ]
    await exchange.end()


async def test_what_was_not_heard_at_all_was_never_said(line: Line) -> None:
    response_id = await line.answered("Hello.")
    await line.adapter.interrupt(response_id, heard_ms=0)
    _, exchange = await line.asked(SpeechFrame("f2", "u2"))
    assert [message["role"] for message in exchange.body["messages"]] == ["system"]
    await exchange.end()


async def test_an_interrupt_of_nothing_is_refused(line: Line) -> None:
    with pytest.raises(ProviderError) as raised:
        await line.adapter.interrupt("resp_unknown", heard_ms=0)
    assert (raised.value.reason, raised.value.not_done) == (Reason.NOT_FOUND, True)


async def test_answers_come_one_at_a_time_and_in_order(line: Line) -> None:
    first_id, first = await line.asked()
    await line.adapter.send(SpeechFrame("f2", "u2", text="Two."))
    assert line.peer.is_asked_nothing
    await first.begin()
    await first.done()
    second = await line.peer.next()
    assert "Two." in second.body["messages"][-1]["content"]
    assert (await line.ended()).response_id == first_id
    started = await line.until(ResponseStarted)
    assert isinstance(started, ResponseStarted) and started.utterance_id == "u2"
    await second.end()


async def test_too_many_waiting_answers_are_refused(line: Line) -> None:
    _, exchange = await line.asked()
    for number in range(turns.WAITING_MAX):
        await line.adapter.send(SpeechFrame(f"w{number}", f"w{number}"))
    with pytest.raises(ProviderError, match="32 answers wait") as raised:
        await line.adapter.send(SpeechFrame("f2", "u2"))
    assert (raised.value.not_done, raised.value.retryable) == (True, True)
    exchange.reset()


async def test_a_cancelled_send_takes_no_request_back(line: Line) -> None:
    sending = asyncio.create_task(line.adapter.send(SpeechFrame("f1", "u1")))
    await asyncio.sleep(0)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    exchange = await line.peer.next()
    await exchange.begin()
    await exchange.done()
    assert (await line.ended()).status is ResponseStatus.COMPLETED
    assert line.peer.completions == 1


async def test_close_ends_the_answer_and_everybody_who_waits(line: Line) -> None:
    response_id, exchange = await line.asked()
    await exchange.begin()
    waiting = asyncio.create_task(line.adapter.receive(demand=1))
    await asyncio.sleep(0)
    await asyncio.gather(line.adapter.close(CloseReason.NORMAL), exchange.closed_by_client())
    assert await waiting == (ResponseEnded(response_id, ResponseStatus.INCOMPLETE),)
    with pytest.raises(ConnectionLost) as raised:
        await line.adapter.receive(demand=1)
    assert not raised.value.retryable


async def test_a_restart_loses_nothing_of_the_conversation(line: Line) -> None:
    await line.adapter.send(TextFrame("t1", "My name is Ada"))
    await line.answered("Hello, Ada.")
    _, before = await line.asked(SpeechFrame("f2", "u2"))
    await line.adapter.restart(REQUEST)
    await before.closed_by_client()
    assert (await line.ended()).status is ResponseStatus.INCOMPLETE
    await line.adapter.send(TextFrame("t1", "My name is Ada"))  # sent again after the restart
    _, after = await line.asked(SpeechFrame("f3", "u3"))
    assert after.body == before.body
    await after.end()


async def test_a_slow_runtime_slows_the_stream_down_and_loses_nothing(
    peer: ChatPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Measured(EventBuffer):
        def append(self, event: ProviderEvent) -> None:
            super().append(event)
            sizes.append(len(self))

    monkeypatch.setattr(adapter, "EventBuffer", Measured)
    monkeypatch.setattr(adapter, "EVENTS_MAX", 64)
    line = Line(peer)
    await line.connect()
    _, exchange = await line.asked()
    await exchange.begin()
    await exchange.give(*[delta(audio={"data": "AAAA" * 64})] * 1_000)
    await exchange.done()
    assert (await line.ended()).status is ResponseStatus.COMPLETED
    assert sum(len(seen.pcm) for seen in line.seen if isinstance(seen, OutputAudio)) == 1_000 * 192
    await line.adapter.close(CloseReason.NORMAL)
    assert max(sizes) < 64 + PIECE_EVENTS_MAX


# Tools


async def test_tools_that_return_are_answered_once_together(line: Line) -> None:
    response_id, exchange = await line.asked()
    await exchange.begin()
    for index, name in ((0, "look_up"), (1, "look_up")):
        await exchange.give(delta(tool_calls=[{"index": index, "id": "call_x", "function": {"name": name}}]))
        for part in ('{"a":', f"{index}}}"):
            piece = {"index": index, "function": {"arguments": part}}
            await exchange.give(delta(tool_calls=[piece]))
    await exchange.done("tool_calls")
    await line.ended()
    calls = [seen for seen in line.seen if isinstance(seen, ToolCalled)]
    assert [call.arguments for call in calls] == ['{"a":0}', '{"a":1}']
    assert len({call.call_id for call in calls}) == 2  # the server gave one id twice
    await line.adapter.send(ToolResultFrame("r1", calls[1].call_id, '"b"'))
    assert line.peer.is_asked_nothing
    await line.adapter.send(ToolResultFrame("r0", calls[0].call_id, '"a"'))
    going_on = await line.peer.next()
    assistant, *outputs = going_on.body["messages"][1:]
    assert [call["id"] for call in assistant["tool_calls"]] == [call.call_id for call in calls]
    assert [(o["tool_call_id"], o["content"]) for o in outputs] == [
        (calls[0].call_id, '"a"'),
        (calls[1].call_id, '"b"'),
    ]
    started = await line.until(ResponseStarted)
    assert isinstance(started, ResponseStarted) and started.response_id != response_id
    for frame in (ToolResultFrame("r2", calls[0].call_id, "1"), ToolResultFrame("r3", "call_no", "1")):
        with pytest.raises(ProviderError) as raised:
            await line.adapter.send(frame)
        assert raised.value.not_done
    await going_on.end()


async def test_a_call_that_has_not_returned_is_not_told(line: Line) -> None:
    _, exchange = await line.asked()
    await exchange.begin()
    call = {"index": 0, "id": "call_1", "function": {"name": "look_up", "arguments": "{}"}}
    await exchange.give(delta(tool_calls=[call]))
    await exchange.done("tool_calls")
    await line.ended()
    _, exchange = await line.asked(SpeechFrame("f2", "u2"))
    assert [message["role"] for message in exchange.body["messages"]] == ["system"]
    await exchange.end()
