"""Events go straight to whoever waits for them: in order, each once, whatever that one does with them."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import (
    Notice,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
)
from tests.adapters import peer as wire
from tests.adapters.peer import Peer
from tests.adapters.websocket_line import MS, REQUEST, Line, greeted

STEPS = st.lists(
    st.tuples(st.sampled_from(("keep", "append", "hand over", "wait", "give up", "turn")), st.integers(1, 3)),
    max_size=30,
)


@given(STEPS)
def test_every_event_is_taken_once_and_in_order_whoever_gives_up_waiting(
    steps: list[tuple[str, int]],
) -> None:
    async def play() -> None:
        buffer, taken, given_total = EventBuffer(events_max=100), list[ProviderEvent](), 0
        waiting = list[asyncio.Task[None]]()

        async def take(demand: int) -> None:
            taken.extend(await buffer.take(demand))

        for step, number in steps:
            match step:
                case "keep" | "append":
                    event = Notice(f"event_{given_total}")
                    given_total += 1
                    (buffer.keep if step == "keep" else buffer.append)(event)
                case "hand over":
                    buffer.hand_over()
                case "wait":
                    waiting.append(asyncio.create_task(take(number)))
                case "give up" if waiting:
                    waiting[-1].cancel()
                case _:
                    await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        taken.extend([*await buffer.take(100)] if len(buffer) else [])
        assert taken == [Notice(f"event_{number}") for number in range(given_total)]

    asyncio.run(play())


async def replaces(line: Line, peer: Peer, *, at: ProviderEvent) -> list[ProviderEvent]:
    """What is heard after a listener that replaces the connection as soon as it takes the event `at`."""
    greeting = asyncio.create_task(greeted(peer))
    while at not in await line.adapter.receive(demand=1):
        pass
    await line.adapter.restart(REQUEST)  # in the step in which the event was taken
    line.socket = await greeting
    await line.socket.give(wire.created("q"))
    heard: list[ProviderEvent] = []
    while ResponseStarted("q") not in heard:
        heard += await line.adapter.receive(demand=100)
    return heard


@pytest.mark.asyncio
async def test_nothing_is_taken_in_after_whoever_took_an_event_replaced_the_connection(
    line: Line, peer: Peer
) -> None:
    replacing = asyncio.create_task(replaces(line, peer, at=ResponseStarted("r")))
    await asyncio.wait([replacing], timeout=0.05)
    await line.socket.give(wire.created("r"), *(wire.audio("r", MS) for _ in range(100)))
    heard = await replacing
    assert [event.response_id for event in heard if isinstance(event, ResponseEnded)] == ["r"]
    assert not [event for event in heard if isinstance(event, Notice) and event.code == "late"]


@pytest.mark.asyncio
async def test_what_waited_for_the_connection_that_was_replaced_does_not_end_the_new_one(
    line: Line, peer: Peer
) -> None:
    await line.socket.give(wire.created("r"))
    await line.next()
    await line.adapter.send(SpeechFrame("f", "u", "behind what is being said"))
    replacing = asyncio.create_task(replaces(line, peer, at=ResponseEnded("r", ResponseStatus.COMPLETED)))
    await asyncio.wait([replacing], timeout=0.05)
    await line.socket.give(wire.done("r"))
    assert ResponseStarted("q") in await replacing


@pytest.mark.asyncio
async def test_whoever_takes_an_event_may_hang_up_at_once(line: Line) -> None:
    async def hang_up() -> None:
        while ResponseStarted("r") not in await line.adapter.receive(demand=1):
            pass
        await line.adapter.close(CloseReason.NORMAL)

    hanging_up = asyncio.create_task(hang_up())
    await asyncio.wait([hanging_up], timeout=0.05)
    await line.socket.give(wire.created("r"), wire.audio("r", MS), wire.done("r"))
    await hanging_up
    assert not (await line.lost()).retryable
