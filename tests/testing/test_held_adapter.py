"""The held adapter: every answer in the test's hand, every effect counted, every breach of the port noted."""

import asyncio

import pytest

from agentfield_adapters.conformance import check_adapter
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError
from agentfield_rt.frames import InputFrame, Notice, ProviderEvent, TextFrame
from agentfield_rt.ports import Connection, ConnectRequest, ProviderAdapter, SessionConfig
from agentfield_rt.testing.held_adapter import HeldAdapter
from agentfield_rt.testing.held_calls import Acts, EffectRepeated, Effects, Ending, Hold
from agentfield_rt.testing.memory_provider import MemoryProvider, silent
from agentfield_rt.testing.virtual_time import in_virtual_time, time_passes

REQUEST = ConnectRequest(session_id="s", config=SessionConfig())
HELLO = TextFrame("frame-1", "hello")


class Line:
    """A connected held adapter and the provider behind it."""

    def __init__(self) -> None:
        self.provider = MemoryProvider(answer=silent)
        self.held = HeldAdapter(self.provider)

    async def connect(self) -> "Line":
        await self.held.connect(REQUEST)
        return self


async def later(work: "asyncio.Task[None]", seconds: float = 0.001) -> bool:
    """Whether `work` is done after a moment."""
    await time_passes(seconds)
    return work.done()


def test_it_is_a_provider_adapter_and_so_is_the_provider_in_memory() -> None:
    assert isinstance(HeldAdapter(), ProviderAdapter)
    assert isinstance(MemoryProvider(), ProviderAdapter)


@in_virtual_time
async def test_a_held_answer_comes_when_it_is_released() -> None:
    line = await Line().connect()
    answer = line.held.hold("send")
    sending = asyncio.create_task(line.held.send(HELLO))
    assert not await later(sending)
    assert answer.reached
    assert line.provider.got == []
    answer.release()
    await sending
    assert line.provider.got == [HELLO]


@in_virtual_time
async def test_a_delayed_answer_takes_exactly_as_long_as_was_said() -> None:
    line = await Line().connect()
    line.held.hold("send").release(after_s=2.5)
    await line.held.send(HELLO)
    assert asyncio.get_running_loop().time() == 2.5


@in_virtual_time
async def test_a_failed_call_was_certainly_not_done() -> None:
    line = await Line().connect()
    line.held.hold("send").fail()
    with pytest.raises(ProviderError) as caught:
        await line.held.send(HELLO)
    assert caught.value.not_done
    assert (line.provider.got, line.held.effects.of("frame-1")) == ([], 0)


@pytest.mark.parametrize("acted", [True, False])
@in_virtual_time
async def test_a_lost_answer_never_comes_whether_the_provider_acted_or_not(acted: bool) -> None:
    line = await Line().connect()
    line.held.hold("send").lose(acted=acted)
    sending = asyncio.create_task(line.held.send(HELLO))
    assert not await later(sending, seconds=3600)
    sending.cancel()
    await asyncio.wait([sending])
    assert line.held.effects.of("frame-1") == acted
    assert line.held.calls[-1].ending is Ending.CANCELLED


@in_virtual_time
async def test_a_doubted_call_acted_and_says_that_nobody_knows() -> None:
    line = await Line().connect()
    line.held.hold("send").doubt()
    with pytest.raises(ProviderError) as caught:
        await line.held.send(HELLO)
    assert not caught.value.not_done
    assert line.provider.got == [HELLO]


@in_virtual_time
async def test_an_answer_may_be_held_after_the_provider_has_acted() -> None:
    line = await Line().connect()
    answer = line.held.hold("send", acted=True)
    sending = asyncio.create_task(line.held.send(HELLO))
    assert not await later(sending)
    assert line.held.effects.of("frame-1") == 1
    with pytest.raises(ValueError, match="has acted"):
        answer.fail()
    answer.release()
    await sending


@in_virtual_time
async def test_a_dropped_connection_ends_every_call_until_a_restart() -> None:
    line = await Line().connect()
    receiving = asyncio.create_task(line.held.receive(demand=1))
    await time_passes(1)
    line.held.drop()
    with pytest.raises(ConnectionLost):
        await receiving
    with pytest.raises(ConnectionLost):
        await line.held.send(HELLO)
    await line.held.restart(REQUEST)
    await line.held.send(HELLO)
    assert line.held.complaints == []


@in_virtual_time
async def test_events_come_twice_or_the_wrong_way_round() -> None:
    line = await Line().connect()
    one, two = Notice("one"), Notice("two")
    line.provider.say(one, two)
    line.held.hold("receive").duplicate()
    assert await line.held.receive(demand=3) == (one, one, two)
    assert await line.held.receive(demand=3) == (two,)
    line.provider.say(one, two)
    line.held.hold("receive").reorder()
    assert await line.held.receive(demand=3) == (two, one)


@in_virtual_time
async def test_what_happens_twice_for_one_operation_is_found_even_across_two_adapters() -> None:
    effects = Effects()
    first, second = HeldAdapter(effects=effects), HeldAdapter(effects=effects)
    for adapter in (first, second):
        await adapter.connect(REQUEST)
    await first.send(HELLO)
    effects.require_at_most_once()
    await second.send(HELLO)
    with pytest.raises(EffectRepeated, match="send frame-1: 2 times"):
        effects.require_at_most_once()


@in_virtual_time
async def test_a_call_cancelled_inside_perhaps_acted() -> None:
    line = await Line().connect()
    receiving = asyncio.create_task(line.held.receive(demand=1))
    await time_passes(1)
    receiving.cancel()
    await asyncio.wait([receiving])
    assert line.held.calls[-1].acts is Acts.PERHAPS


def test_a_verdict_is_given_once_and_fits_its_method() -> None:
    hold = Hold("send")
    with pytest.raises(ValueError, match="receive"):
        hold.duplicate()
    hold.release()
    with pytest.raises(ValueError, match="already decided"):
        hold.lose()


class Careless(MemoryProvider):
    """Breaks the port in every way that can be seen from outside."""

    async def connect(self, request: ConnectRequest) -> Connection:
        return Connection(session_id=request.session_id, connection_id="always the same")

    async def restart(self, request: ConnectRequest) -> Connection:
        return await self.connect(request)

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        return ()

    async def send(self, frame: InputFrame) -> None:
        raise KeyError(frame.frame_id)

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        """Goes on after close."""


@in_virtual_time
async def test_an_adapter_that_breaks_the_port_is_complained_about() -> None:
    held = HeldAdapter(Careless())
    await held.connect(REQUEST)
    await held.restart(REQUEST)
    assert await held.receive(demand=1) == ()
    with pytest.raises(KeyError):
        await held.send(HELLO)
    await held.close(CloseReason.NORMAL)
    await held.interrupt("r", heard_ms=None)
    assert held.complaints == [
        "connection id always the same was used before",
        "receive of 1 returned 0 events",
        "send raised KeyError; the port knows ProviderError only",
        "interrupt succeeded after close",
    ]


@in_virtual_time
async def test_a_caller_that_lets_two_sends_overlap_is_complained_about() -> None:
    line = await Line().connect()
    line.held.hold("send").release(after_s=1)
    await asyncio.gather(line.held.send(HELLO), line.held.send(TextFrame("frame-2", "")))
    assert line.held.complaints == ["send was called while another one was under way"]


@in_virtual_time
async def test_the_provider_in_memory_passes_the_conformance_kit() -> None:
    async def make_request() -> ConnectRequest:
        return REQUEST

    await check_adapter(MemoryProvider, make_request)
    held: list[HeldAdapter] = []

    def make_held() -> HeldAdapter:
        held.append(HeldAdapter())
        return held[-1]

    await check_adapter(make_held, make_request)
    assert [adapter.complaints for adapter in held] == [[]] * len(held)
