"""Control that goes straight from a task to the one that waits: what that one sees, what stays as it was."""

import asyncio
from contextvars import ContextVar

import pytest

from agentfield_rt.handover import Handover, run_as

WHO = ContextVar("WHO", default="nobody")


@pytest.mark.asyncio
async def test_the_task_that_waits_goes_on_inside_give_up_to_its_next_wait() -> None:
    handed, later = Handover(), asyncio.get_running_loop().create_future()
    seen: list[str] = []

    async def wait() -> None:
        await handed
        seen.append("handed")
        await later
        seen.append("later")

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    handed.give()
    assert seen == ["handed"]
    later.set_result(None)
    await waiting
    assert seen == ["handed", "later"]


@pytest.mark.asyncio
async def test_it_runs_in_its_own_task_and_context_and_the_giver_then_in_its_own_again() -> None:
    handed = Handover()
    seen: list[tuple[str, asyncio.Task[None] | None]] = []

    async def wait() -> None:
        WHO.set("waiter")
        await handed
        seen.append((WHO.get(), asyncio.current_task()))

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    WHO.set("giver")
    giver = asyncio.current_task()
    handed.give()
    assert seen == [("waiter", waiting)]
    assert (WHO.get(), asyncio.current_task()) == ("giver", giver)


@pytest.mark.asyncio
async def test_a_deadline_of_the_one_that_waits_is_still_its_own() -> None:
    handed = Handover()

    async def wait() -> str:
        await handed
        try:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "its own"
        return "nobody's"

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    handed.give()
    assert await waiting == "its own"


@pytest.mark.asyncio
async def test_what_the_one_that_waits_raises_stays_in_its_task() -> None:
    handed = Handover()

    async def wait() -> None:
        await handed
        raise ValueError("mine")

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    handed.give()
    with pytest.raises(ValueError, match="mine"):
        await waiting


@pytest.mark.asyncio
async def test_one_that_cancels_its_giver_lets_it_run_to_its_next_wait() -> None:
    handed = Handover()
    seen: list[str] = []

    async def give() -> None:
        handed.give()
        seen.append("given")
        await asyncio.sleep(0)
        seen.append("not cancelled")

    async def wait() -> None:
        await handed
        giving.cancel()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    giving = asyncio.create_task(give())
    with pytest.raises(asyncio.CancelledError):
        await giving
    await waiting
    assert seen == ["given"]


@pytest.mark.asyncio
async def test_one_that_was_cancelled_before_is_not_let_go_on() -> None:
    handed = Handover()
    waiting = asyncio.create_task(asyncio.wait_for(handed, None))
    await asyncio.sleep(0)
    waiting.cancel()
    assert handed.done()
    with pytest.raises(asyncio.InvalidStateError):
        handed.give()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.asyncio
async def test_given_before_anybody_waits_nobody_waits() -> None:
    handed = Handover()
    handed.give()
    await handed


@pytest.mark.asyncio
async def test_given_from_a_callback_the_one_that_waits_goes_on_all_the_same() -> None:
    handed = Handover()

    async def wait() -> asyncio.Task[None] | None:
        await handed
        return asyncio.current_task()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(handed.give)
    assert await waiting is waiting


@pytest.mark.asyncio
async def test_what_is_run_as_a_task_that_is_none_raises_to_the_caller_who_is_itself_again() -> None:
    def fail(word: str) -> None:
        assert asyncio.current_task() is None
        raise ValueError(word)

    me = asyncio.current_task()
    with pytest.raises(ValueError, match="word"):
        run_as(None, fail, "word")
    assert asyncio.current_task() is me
