"""What a waiting session keeps: a signal like an event's, and the ids that came last."""

import asyncio

import pytest

from agentfield_rt.idle import Recent, Signal


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


def test_the_ids_that_were_added_last_are_known() -> None:
    recent = Recent(2)
    for each_id in ("a", "b", "b", "c"):
        recent.add(each_id)
    assert [each_id for each_id in "abc" if each_id in recent] == ["b", "c"]
