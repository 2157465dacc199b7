"""What a waiting session keeps: a signal and a lock like asyncio's, and the ids that came last."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_rt.idle import Lock, Recent, Signal


@pytest.mark.asyncio
async def test_a_signal_wakes_everybody_who_waits_and_holds_nobody_up_until_it_is_cleared() -> None:
    signal = Signal()
    waiting = [asyncio.create_task(signal.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    signal.set()
    signal.clear()
    await asyncio.gather(*waiting)
    signal.set()
    await signal.wait()
    assert signal.is_set()


@pytest.mark.asyncio
async def test_whoever_stops_waiting_for_a_signal_leaves_nothing_behind() -> None:
    signal = Signal()
    gone = asyncio.create_task(signal.wait())
    stays = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    signal.set()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await stays
    assert signal._waiters == []  # pyright: ignore[reportPrivateUsage]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 4)),
        st.tuples(st.sampled_from(("cancel", "let go", "let go and cancel")), st.integers(0, 4)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=40,
)


class Holders:
    """Tasks that take a lock in the order they are begun, and let go of it when they are told to."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.let_go: dict[int, asyncio.Event] = {}
        self.order: list[int] = []
        self.held: list[int] = []
        self.had_it: list[int] = []

    async def _hold(self, number: int) -> None:
        self.order.append(number)
        async with self.lock:
            assert not self.held
            self.held.append(number)
            self.had_it.append(number)
            try:
                await self.let_go[number].wait()
            finally:
                self.held.remove(number)

    async def take(self, step: str, number: int) -> None:
        task = self.tasks.get(number)
        if step == "take" and (task is None or task.done()):
            self.let_go[number] = asyncio.Event()
            self.tasks[number] = asyncio.create_task(self._hold(number))
        elif step == "turn":
            await asyncio.sleep(0)
        elif task is not None:
            if step != "cancel":
                self.let_go[number].set()
            if step != "let go":
                task.cancel()


@given(STEPS)
@settings(deadline=None)
def test_a_lock_is_held_by_one_and_goes_to_whoever_waits_longest_whoever_gives_up_meanwhile(
    steps: list[tuple[str, int]],
) -> None:
    async def play() -> None:
        holders = Holders()
        for step, number in steps:
            await holders.take(step, number)
        for let_go in holders.let_go.values():
            let_go.set()
        for task in holders.tasks.values():
            with suppress(asyncio.CancelledError):
                await task
        remaining = iter(holders.order)
        assert all(number in remaining for number in holders.had_it), "somebody overtook"
        assert not holders.lock.locked()

    asyncio.run(play())


@pytest.mark.asyncio
async def test_a_lock_that_was_passed_on_to_one_who_gives_up_goes_to_the_next() -> None:
    lock = Lock()
    seen: list[str] = []

    async def hold(name: str) -> None:
        async with lock:
            seen.append(name)

    async with lock:
        gone, stays = asyncio.create_task(hold("gone")), asyncio.create_task(hold("stays"))
        await asyncio.sleep(0)
    gone.cancel()  # it is its own already
    await asyncio.wait([gone, stays])
    assert seen == ["stays"]
    assert not lock.locked()


def test_the_ids_that_were_added_last_are_known() -> None:
    recent = Recent(2)
    for each_id in ("a", "b", "b", "c"):
        recent.add(each_id)
    assert [each_id for each_id in "abc" if each_id in recent] == ["b", "c"]
