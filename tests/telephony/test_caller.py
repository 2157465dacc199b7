"""What was heard of the agent is what the vendor's marks say, whatever comes back and when."""

# pyright: reportPrivateUsage=false

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from fastapi import WebSocket
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_rt.frames import FRAME_BYTES, FRAME_MS
from agentfield_rt.plane.telephony import caller as telephony_caller
from agentfield_rt.plane.telephony.caller import MARK_EVERY_MS, MARKS_MAX, SEND_MAX_S, TelephonyCaller
from agentfield_rt.voice.player import ConfirmingCaller
from tests.telephony.test_streams import begun
from tests.telephony.vendors import TwilioVendor
from tests.virtual_time import in_virtual_time, time_passes


class FarSide:
    """The vendor: plays when told to, and knows what it has played."""

    def __init__(self, *, reads: bool = True) -> None:
        self._reads = reads
        self.queue: list[int | str] = []
        self.back: list[str] = []
        self.played_ms = 0
        self.caller = TelephonyCaller(cast(WebSocket, self), begun(TwilioVendor()))

    async def send_text(self, text: str) -> None:
        if not self._reads:
            await asyncio.Event().wait()
        message: dict[str, Any] = json.loads(text)
        match message["event"]:
            case "media":
                self.queue.append(FRAME_MS)
            case "mark":
                self.queue.append(message["mark"]["name"])
            case _:
                self.back += [entry for entry in self.queue if isinstance(entry, str)]
                self.queue.clear()

    def plays(self) -> None:
        """The next of what waits."""
        if not self.queue:
            return
        entry = self.queue.pop(0)
        if isinstance(entry, str):
            self.back.append(entry)
        else:
            self.played_ms += entry

    def returns(self) -> None:
        """The next mark arrives at our end."""
        if self.back:
            self.caller.reached(self.back.pop(0))


STEPS = st.lists(st.sampled_from(["play"] * 4 + ["heard"] * 4 + ["return"] * 2 + ["clear", "rest", "stray"]))


async def perform(steps: list[str]) -> None:
    """Nothing counts as heard that was not; of what was, at most what lies between two marks is missing."""
    far = FarSide()
    handed_ms = cleared_ms = played_at_clear_ms = 0
    for step in steps:
        match step:
            case "play":
                await far.caller.play(bytes(FRAME_BYTES))
                handed_ms += FRAME_MS
            case "heard":
                far.plays()
            case "return":
                far.returns()
            case "clear":
                await far.caller.clear()
                cleared_ms, played_at_clear_ms = handed_ms, far.played_ms
            case "rest":
                asking = asyncio.create_task(far.caller.confirmed())
                await time_passes(0)
                asking.cancel()
                await asyncio.wait([asking])
            case _:
                far.caller.reached("mark_of_somebody")
        # Frames may be a few samples behind, and the rest is filled up: at most one of silence each time.
        since_ms = far.played_ms - played_at_clear_ms
        assert far.caller.heard_ms - cleared_ms <= since_ms + FRAME_MS, step
        assert far.caller.heard_ms >= cleared_ms, step
        assert far.caller.heard_ms <= handed_ms, step


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_nothing_counts_as_heard_that_was_not(steps: list[str]) -> None:
    in_virtual_time(perform)(steps)


@in_virtual_time
async def test_all_that_was_played_counts_once_its_marks_are_back() -> None:
    far = FarSide()
    assert isinstance(far.caller, ConfirmingCaller)
    for _ in range(12):
        await far.caller.play(bytes(FRAME_BYTES))
    confirming = asyncio.create_task(far.caller.confirmed())
    await time_passes(0)
    while far.queue:
        far.plays()
    assert not confirming.done()
    while far.back:
        far.returns()
    await confirming
    assert far.caller.heard_ms == 12 * FRAME_MS


@in_virtual_time
async def test_marks_that_come_back_after_a_cut_say_nothing_of_what_follows() -> None:
    far = FarSide()
    for _ in range(20):
        await far.caller.play(bytes(FRAME_BYTES))
    await far.caller.clear()
    heard_ms = far.caller.heard_ms
    await far.caller.play(bytes(FRAME_BYTES))
    while far.back:
        far.returns()
    assert far.caller.heard_ms == heard_ms == 20 * FRAME_MS


@in_virtual_time
async def test_of_a_vendor_that_returns_none_few_marks_are_waited_for() -> None:
    far = FarSide()
    for _ in range(MARKS_MAX * MARK_EVERY_MS // FRAME_MS * 2):
        await far.caller.play(bytes(FRAME_BYTES))
    assert sum(isinstance(entry, str) for entry in far.queue) == MARKS_MAX


@in_virtual_time
async def test_a_vendor_that_reads_nothing_is_given_up() -> None:
    far = FarSide(reads=False)
    playing = asyncio.create_task(far.caller.play(bytes(FRAME_BYTES * 2)))
    await time_passes(SEND_MAX_S + 0.1)
    assert playing.done()
    assert far.caller.is_stuck
    await far.caller.play(bytes(FRAME_BYTES))


def believes_the_clock(self: TelephonyCaller) -> int:
    return self._played_ms


def keeps_marks(self: TelephonyCaller) -> Any:
    async def clear() -> None:
        self._has_heard(self._played_ms)
        await self._send(self._stream.clear())

    return clear()


@pytest.mark.parametrize(
    ("name", "wrong", "check"),
    [
        ("heard_ms", property(believes_the_clock), lambda: perform(["play"] * 4)),
        (
            "clear",
            keeps_marks,
            lambda: perform(["play"] * 8 + ["clear"] + ["play"] * 8 + ["return"] * 4 + ["heard"]),
        ),
    ],
    ids=["clock", "old marks"],
)
def test_a_planted_bug_turns_the_rule_red(
    name: str, wrong: object, check: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telephony_caller.TelephonyCaller, name, wrong)
    with pytest.raises(AssertionError):
        in_virtual_time(check)()
