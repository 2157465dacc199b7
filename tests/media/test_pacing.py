"""The one clock of all calls: each sends every 20 ms, whatever the others do and however late the loop is."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentfield_adapters.media.webrtc.pacing import FRAME_S, PHASES, STALL_S_MAX, Pacer
from tests.virtual_time import VirtualTimeLoop, in_virtual_time, time_passes


class Member:
    """Notes when it is asked, and what it is told."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked_at: list[float] = []
        self.skipped: list[int] = []
        self.failures = 0
        self._fails_at = fails_at

    async def send_next(self, skipped_frames: int) -> None:
        self.asked_at.append(asyncio.get_running_loop().time())
        self.skipped.append(skipped_frames)
        if len(self.asked_at) == self._fails_at:
            raise RuntimeError("a fault of this call's own")

    def failed(self) -> None:
        self.failures += 1

    @property
    def gaps_ms(self) -> set[int]:
        return {round((later - earlier) * 1000) for earlier, later in pairwise(self.asked_at)}


def stall(seconds: float) -> None:
    """Have the loop do nothing for a while, as if a callback had taken so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._virtual.now_ns += round(seconds * 1e9)  # pyright: ignore[reportPrivateUsage]


@in_virtual_time
async def test_everybody_is_asked_every_20_ms() -> None:
    pacer, members = Pacer(), [Member() for _ in range(9)]
    for member in members:
        pacer.join(member)

    await time_passes(10.0)

    for member in members:
        assert len(member.asked_at) == pytest.approx(500, abs=1)
        assert member.gaps_ms == {20}


@in_virtual_time
async def test_calls_take_turns_within_the_20_ms() -> None:
    pacer, members = Pacer(), [Member() for _ in range(PHASES * 3)]
    for member in members:
        pacer.join(member)

    await time_passes(1.0)

    at_once = [round(member.asked_at[-1] * 1000) % 20 for member in members]
    assert all(at_once.count(phase) == 3 for phase in set(at_once))
    assert len(set(at_once)) == PHASES


@in_virtual_time
async def test_who_left_is_not_asked_and_who_joins_again_is() -> None:
    pacer, stays, goes = Pacer(), Member(), Member()
    pacer.join(stays)
    pacer.join(goes)
    await time_passes(1.0)

    pacer.leave(goes)
    pacer.leave(goes)
    asked = len(goes.asked_at)
    await time_passes(1.0)
    assert len(goes.asked_at) == asked

    pacer.leave(stays)
    await time_passes(1.0)
    pacer.join(goes)
    await time_passes(1.0)

    assert len(goes.asked_at) == pytest.approx(asked + 50, abs=1)
    assert len(stays.asked_at) == pytest.approx(100, abs=1)


@in_virtual_time
async def test_nothing_runs_while_nobody_has_joined() -> None:
    pacer, member = Pacer(), Member()
    pacer.join(member)
    await time_passes(0.1)

    pacer.leave(member)
    await time_passes(0.1)

    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_call_that_fails_is_asked_no_more_and_the_others_do_not_notice() -> None:
    pacer, broken = Pacer(), Member(fails_at=10)
    others = [Member() for _ in range(PHASES)]
    for member in (others[0], broken, *others[1:]):
        pacer.join(member)

    await time_passes(2.0)

    assert (len(broken.asked_at), broken.failures) == (10, 1)
    for member in others:
        assert member.failures == 0
        assert len(member.asked_at) == pytest.approx(100, abs=1)
        assert member.gaps_ms == {20}


@in_virtual_time
async def test_the_clock_stops_with_a_lone_call_that_fails_and_goes_on_for_the_next() -> None:
    pacer, broken, other = Pacer(), Member(fails_at=3), Member()
    pacer.join(broken)
    await time_passes(1.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}

    pacer.join(other)
    await time_passes(1.0)

    assert len(broken.asked_at) == 3
    assert len(other.asked_at) == pytest.approx(50, abs=1)


@example([0.3, 0.05])
@given(st.lists(st.floats(0.0, 1.0), max_size=10))
def test_after_a_stall_time_is_made_up_for_or_reported_as_skipped(stalls_s: list[float]) -> None:
    """What is asked for and what is skipped are together as long as what passed; nobody is rushed."""

    @in_virtual_time
    async def stalled() -> None:
        pacer, member = Pacer(), Member()
        pacer.join(member)
        for stall_s in stalls_s:
            await time_passes(1.0)
            stall(stall_s)
        await time_passes(1.0)
        frames = len(member.asked_at) + sum(member.skipped)
        assert abs(frames - asyncio.get_running_loop().time() / FRAME_S) <= 2
        at_once = Counter(round(asked_at, 4) for asked_at in member.asked_at)
        assert max(at_once.values()) <= STALL_S_MAX / FRAME_S + 1

    stalled()
