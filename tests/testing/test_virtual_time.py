"""Virtual time: exact, seeded, and loud where real time would hang or leave the process."""

import asyncio
import contextvars
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.testing.virtual_time import (
    START_NS,
    NothingCanHappen,
    OutsideWorld,
    TimeIsUp,
    VirtualTimeLoop,
    run,
    time_passes,
)


def test_an_hour_of_frames_is_exactly_an_hour() -> None:
    async def frames() -> float:
        for _ in range(180_000):
            await time_passes(0.02)
        return asyncio.get_running_loop().time()

    assert run(frames()) == 3600.0


def test_the_wall_clock_moves_with_the_loop() -> None:
    async def wait() -> int:
        await time_passes(1.5)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        return loop.time_ns()

    assert run(wait()) == START_NS + 1_500_000_000


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_timers_fire_when_they_are_due_and_in_order(delays_us: list[int]) -> None:
    fired: list[tuple[float, int]] = []

    async def wait(delay_us: int) -> None:
        await time_passes(delay_us / 1e6)
        fired.append((asyncio.get_running_loop().time(), delay_us))

    async def all_of_them() -> None:
        await asyncio.gather(*map(wait, delays_us))

    run(all_of_them())
    assert [delay for _, delay in fired] == sorted(delays_us)
    assert all(at == pytest.approx(delay / 1e6, abs=1e-9) for at, delay in fired)


def order_of_ten(seed: int | None) -> list[int]:
    """In which order ten tasks finish that are ready in the same turns."""
    order: list[int] = []

    async def go(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        order.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*map(go, range(10)))

    run(all_of_them(), seed=seed)
    return order


def test_without_a_seed_tasks_keep_the_order_of_asyncio() -> None:
    assert order_of_ten(None) == list(range(10))


def test_a_seed_gives_one_order_and_another_seed_another() -> None:
    assert order_of_ten(7) == order_of_ten(7)
    assert len({tuple(order_of_ten(seed)) for seed in range(20)}) > 15


@given(st.integers())
def test_the_lot_is_drawn_among_the_tasks_of_one_turn_only(seed: int) -> None:
    """Whoever yields once lets everybody else have a turn first, whatever the seed."""
    turns: list[int] = []

    async def go() -> None:
        for turn in range(5):
            turns.append(turn)
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        await asyncio.gather(*(go() for _ in range(4)))

    run(all_of_them(), seed=seed)
    assert turns == sorted(turns)


@given(st.integers())
def test_callbacks_that_are_no_tasks_keep_their_order(seed: int) -> None:
    order: list[int] = []

    async def call() -> None:
        for number in range(10):
            asyncio.get_running_loop().call_soon(order.append, number)
        await asyncio.sleep(0)

    run(call(), seed=seed)
    assert order == list(range(10))


@given(st.integers())
def test_every_task_keeps_its_context(seed: int) -> None:
    who = contextvars.ContextVar("who", default=-1)

    async def go(number: int) -> bool:
        who.set(number)
        for _ in range(3):
            await asyncio.sleep(0)
        return who.get() == number

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*map(go, range(5)))

    assert all(run(all_of_them(), seed=seed))


def test_what_would_hang_says_who_waits_where() -> None:
    async def wait_for_nobody() -> None:
        await asyncio.create_task(asyncio.Event().wait(), name="the reader")

    with pytest.raises(NothingCanHappen, match=r"the reader at locks\.py"):
        run(wait_for_nobody())


def test_work_without_an_end_is_stopped_after_its_hours() -> None:
    async def never_end() -> None:
        while True:
            await time_passes(60)

    with pytest.raises(TimeIsUp, match=r"2\.5 virtual hours"):
        run(never_end(), hours=2.5)


def test_work_that_spins_without_time_passing_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentfield_rt.testing.virtual_time.TURNS_AT_ONCE_MAX", 1_000)

    async def spin() -> None:
        while True:  # noqa: ASYNC110  # it is what is to be stopped
            await asyncio.sleep(0)

    with pytest.raises(TimeIsUp, match="no time has passed"):
        run(spin())


def test_a_socket_is_refused_by_name() -> None:
    with pytest.raises(OutsideWorld, match=r"create_connection.*use a fake"):
        run(asyncio.open_connection("localhost", 1))


def test_a_process_is_refused_by_name() -> None:
    with pytest.raises(OutsideWorld, match="subprocess_exec"):
        run(asyncio.create_subprocess_exec("true"))


def test_a_thread_is_refused_unless_it_is_asked_for() -> None:
    with pytest.raises(OutsideWorld, match=r"threads='inline'"):
        run(asyncio.to_thread(threading.get_ident))


def test_inline_threads_run_here_and_take_no_time() -> None:
    async def work() -> tuple[int, float]:
        ident = await asyncio.to_thread(threading.get_ident)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return ident, asyncio.get_running_loop().time()

    assert run(work(), threads="inline") == (threading.get_ident(), 0.0)


def test_a_foreign_thread_may_not_call_back() -> None:
    refused: list[BaseException] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()

        def call_back() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except OutsideWorld as error:
                refused.append(error)

        thread = threading.Thread(target=call_back)
        thread.start()
        thread.join()

    run(work())
    assert refused


def test_an_error_names_the_seed_that_leads_to_it() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        run(fail(), seed=42)
    assert caught.value.__notes__ == ["in virtual time, with seed=42"]


def test_really_waiting_is_refused_where_virtual_time_was_meant() -> None:
    with pytest.raises(OutsideWorld, match="really wait"):
        asyncio.run(time_passes(1))


def test_so_many_turns_are_taken_at_most_and_no_timer_is_waited_for() -> None:
    happened: list[str] = []
    loop = VirtualTimeLoop()

    def twice() -> None:
        happened.append("first")
        loop.call_soon(happened.append, "second")
        loop.call_later(0, happened.append, "due at once")
        loop.call_later(0.001, happened.append, "due later")

    loop.call_soon(twice)
    loop.turn()
    assert happened == ["first"]
    loop.turn(1_000)
    assert happened == ["first", "second", "due at once"]
    assert loop.time() == 0.0
    loop.close()


def test_a_task_keeps_its_context_also_an_empty_one() -> None:
    var = contextvars.ContextVar("var", default="nothing")

    async def sets() -> str:
        var.set("mine")
        await asyncio.sleep(0)
        return var.get()

    async def within() -> str:
        return await asyncio.create_task(sets(), context=contextvars.Context())

    assert run(within(), seed=1) == "mine"
