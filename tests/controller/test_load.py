"""Ten times the rate for ten minutes: what waits is bounded, whatever the policy."""

import asyncio
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from agentfield_adapters.scripted import ScriptedAdapter, silent
from agentfield_journal import Cursor, Draft
from agentfield_rt.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.core.records import GatePolicy, Limits
from agentfield_rt.errors import GateOverflow, ProviderError, Reason
from agentfield_rt.frames import AudioFrame, InputFrame
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.run import Run
from tests.virtual_time import VirtualTimeLoop, time_passes

HIGH, LOW = 16, 8
FRAME_S = 0.2
TIMES_REALTIME = 10
DURATION_S = 600.0
BLOCKS_MORE_MAX = 100
"""After 20,000 more frames. Two are kept at each look."""


@dataclass
class Load:
    """What is kept at each look: frames, callers that wait, blocks of memory of everything there is."""

    frames: list[int] = field(default_factory=list[int])
    callers: list[int] = field(default_factory=list[int])
    blocks: list[int] = field(default_factory=list[int])
    refused: int = 0


class ForgetfulWriter:
    """A run writer that keeps nothing, so that only what the controller keeps can grow."""

    run_id = "run_load"
    epoch = 1

    def __init__(self) -> None:
        self.head = Cursor(self.run_id, 0)

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        self.head = Cursor(self.run_id, self.head.seq + len(drafts))
        return self.head

    async def durable(self, cursor: Cursor) -> None:
        """At once."""

    async def release(self) -> None:
        """Nothing to give up."""


class RealtimeAdapter(ScriptedAdapter):
    """Takes a frame of 200 ms in 200 ms, and ten seconds to be replaced."""

    async def send(self, frame: InputFrame) -> None:
        await time_passes(FRAME_S)
        self.calls.clear()
        await super().send(frame)

    async def restart(self, request: ConnectRequest) -> Connection:
        await time_passes(10.0)
        return await super().restart(request)


async def _send(session: RealtimeSessionController, number: int, refused: list[int]) -> None:
    try:
        await session.send(AudioFrame(f"frame-{number}", bytes(9600)))
    except GateOverflow:
        refused[0] += 1
    except ProviderError:
        """A restart overtook it on the wire."""


def _frames_alive() -> int:
    """Of everybody in this process: other tests keep some."""
    return sum(isinstance(thing, AudioFrame) for thing in gc.get_objects())


async def _speak_too_fast(policy: GatePolicy) -> Load:
    """Ten minutes of it, looked at every thirty seconds."""
    settings = BoundarySettings(limits=Limits(policy=policy, high_water=HIGH, low_water=LOW, restarts_max=99))
    run = Run(ForgetfulWriter(), clock=lambda: 0)
    session = RealtimeSessionController(
        RealtimeAdapter(answer=silent), run, session_id="sess_load_1", settings=settings
    )
    await session.connect()
    load, refused, before = Load(), [0], _frames_alive()
    waiting = set[asyncio.Task[None]]()
    for number in range(int(DURATION_S / FRAME_S * TIMES_REALTIME)):
        await time_passes(FRAME_S / TIMES_REALTIME)
        if number % 3000 == 1500:
            waiting.add(asyncio.create_task(_restart(session)))
        if policy is not GatePolicy.BLOCK or len(waiting) < HIGH:  # who is blocked says nothing more
            waiting.add(asyncio.create_task(_send(session, number, refused)))
        waiting = {task for task in waiting if not task.done()}
        if number % 1500 == 1499:
            gc.collect()
            load.frames.append(_frames_alive() - before)
            load.callers.append(len(waiting))
            load.blocks.append(sys.getallocatedblocks())
    await session.close()
    await asyncio.gather(*waiting, return_exceptions=True)
    load.refused = refused[0]
    return load


async def _restart(session: RealtimeSessionController) -> None:
    await session.restart(Reason.CONNECTION_LOST)


@pytest.mark.parametrize("policy", GatePolicy)
def test_ten_minutes_at_ten_times_the_rate_keep_no_more_than_may_wait(policy: GatePolicy) -> None:
    loop = VirtualTimeLoop()
    try:
        load = loop.run_until_complete(_speak_too_fast(policy))
    finally:
        loop.close()
    assert len(load.frames) == 20
    assert max(load.callers) <= HIGH + 2
    assert all(frames <= HIGH + waiting for frames, waiting in zip(load.frames, load.callers, strict=True))
    assert load.refused > 0 or policy is GatePolicy.BLOCK
    first, last = load.blocks[4:8], load.blocks[-4:]  # what is cached once is there by now
    assert min(last) - max(first) <= BLOCKS_MORE_MAX
