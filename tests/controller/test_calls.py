"""One call under way: how it ends when it must."""

import asyncio

import pytest

from agentfield_rt.controller.calls import Call, Calls
from agentfield_rt.errors import Reason
from tests.virtual_time import in_virtual_time, time_passes


@in_virtual_time
async def test_a_call_ends_at_its_deadline() -> None:
    call = Call("o1")
    with pytest.raises(TimeoutError):
        with call:
            call.allow(1.0)
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == 1.0
    assert not call.superseded


@in_virtual_time
async def test_a_superseded_call_ends_at_its_next_await_though_it_had_a_deadline() -> None:
    call = Call("o1")
    asyncio.get_running_loop().call_later(1.0, call.supersede)
    with pytest.raises(TimeoutError):
        with call:
            call.allow(5.0)
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == 1.0
    assert call.superseded


@in_virtual_time
async def test_a_call_is_superseded_once_and_not_after_its_deadline() -> None:
    late, twice = Call("o1"), Call("o2")
    with pytest.raises(TimeoutError):
        with late:
            late.allow(1.0)
            await asyncio.Event().wait()
    late.supersede()
    assert not late.superseded
    with pytest.raises(TimeoutError):
        with twice:
            twice.supersede()
            twice.supersede()
            await asyncio.Event().wait()


@in_virtual_time
async def test_a_call_that_is_over_is_not_ended_any_more() -> None:
    call = Call("o1")
    with call:
        call.supersede()
    await time_passes(1.0)
    assert call.superseded


@in_virtual_time
async def test_a_call_that_was_superseded_before_it_began_is_not_made() -> None:
    call = Call("o1")
    call.require_wanted()
    call.supersede()
    call.allow(1.0)
    with pytest.raises(TimeoutError):
        call.require_wanted()


@in_virtual_time
async def test_somebody_elses_cancellation_stays_one() -> None:
    call = Call("o1")

    async def work() -> None:
        with call:
            call.allow(1.0)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    asyncio.get_running_loop().call_later(1.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


@in_virtual_time
async def test_whoever_supersedes_may_wait_until_a_call_is_settled_also_afterwards() -> None:
    calls = Calls()
    one, other = calls.begin("o1"), calls.begin("o2")
    assert calls.supersede(but=other) == [one]
    waiter = asyncio.create_task(one.settled.wait())
    await asyncio.sleep(0)
    assert not waiter.done()
    calls.end(one)
    calls.end(other)
    assert await waiter
    assert one.settled.is_set()
    assert other.settled.is_set()
    assert calls.supersede() == []


@in_virtual_time
async def test_a_call_that_is_superseded_does_not_end_as_one_that_lost_its_connection() -> None:
    call = Call("o1", listens=True)
    with pytest.raises(TimeoutError):
        with call:
            call.supersede()
            call.lose_connection(1.0)
            await asyncio.Event().wait()
    assert call.ends_as is Reason.SUPERSEDED
