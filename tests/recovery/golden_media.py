"""Short stories of what flows: audio in windows, events in windows, frames behind the gate."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from agentfield_rt.controller import BoundarySettings
from agentfield_rt.core.records import GatePolicy, Limits
from agentfield_rt.errors import (
    CloseReason,
    GateOverflow,
    ProviderError,
    Reason,
)
from tests.recovery.process import Process, settle
from tests.recovery.stage import ONE_BY_ONE, SMALL_WINDOWS, Line, Stories
from tests.virtual_time import time_passes

STORIES = Stories()


@STORIES.add
async def audio_one_by_one(p: Process) -> None:
    line = await Line.connected(p, ONE_BY_ONE)
    await line.audio(3)
    line.say("resp_x", ends=True)
    await line.receive(demand=1)
    await line.receive()
    await line.end(CloseReason.CALLER_GONE)


@STORIES.add
async def audio_in_windows(p: Process) -> None:
    line = await Line.connected(p, SMALL_WINDOWS)
    await line.audio(11)
    await time_passes(2.5)  # the window is written down, though nothing more flows
    await line.audio(3)
    await line.text("between the windows")
    await line.audio(2)
    await line.end()


@STORIES.add
async def a_window_cut_by_a_restart(p: Process) -> None:
    line = await Line.connected(p, SMALL_WINDOWS)
    await line.audio(3)
    restart = p.held.hold("restart")
    restarting = p.start(line.controller.restart(Reason.SESSION_EXPIRED))
    await restart.wait_reached()
    await line.audio(3)
    await line.text("after the audio")
    restart.release()
    await restarting
    await line.audio(6)
    await line.end()


@STORIES.add
async def a_frame_in_doubt_inside_a_window(p: Process) -> None:
    line = await Line.connected(p, SMALL_WINDOWS)
    await line.audio(1)
    p.held.hold("send").doubt()
    with contextlib.suppress(ProviderError):
        await line.audio(1)
    p.held.hold("send").fail()
    with contextlib.suppress(ProviderError):
        await line.audio(1)
    await line.audio(3)
    await line.end()


@STORIES.add
async def events_in_windows(p: Process) -> None:
    line = await Line.connected(p, SMALL_WINDOWS)
    line.say("resp_x", pieces=7)
    for _ in range(4):
        await line.receive(demand=2)
    receiving = p.start(line.controller.receive(demand=2))
    await settle()
    await line.controller.interrupt("resp_x", heard_ms=40)
    line.say("resp_y", ends=True)
    with contextlib.suppress(ProviderError):
        await receiving
    await line.receive()
    await line.end()


async def _through_a_restart(line: Line, work: Callable[[], Awaitable[None]]) -> None:
    restart = line.process.held.hold("restart")
    restarting = line.process.start(line.controller.restart(Reason.CONNECTION_LOST))
    await restart.wait_reached()
    await work()
    restart.release()
    await restarting


def _policy(policy: GatePolicy) -> BoundarySettings:
    return BoundarySettings(
        windows=SMALL_WINDOWS.windows,
        limits=Limits(policy=policy, high_water=3, low_water=1, restarts_max=3),
    )


@STORIES.add
async def the_gate_fills_and_empties(p: Process) -> None:
    line = await Line.connected(p, _policy(GatePolicy.GATE))

    async def more_than_it_takes() -> None:
        await line.audio(2)
        await line.text()
        with contextlib.suppress(GateOverflow):
            await line.text("one too many")

    await _through_a_restart(line, more_than_it_takes)
    await line.text("and on")
    await line.end()


@STORIES.add
async def the_gate_makes_a_sender_wait(p: Process) -> None:
    line = await Line.connected(p, _policy(GatePolicy.BLOCK))
    waiting: list[asyncio.Task[Any]] = []

    async def more_than_it_takes() -> None:
        await line.audio(3)
        waiting.append(p.start(line.text("waits in its caller's hands")))
        await settle()

    await _through_a_restart(line, more_than_it_takes)
    await waiting[0]
    await line.end()


@STORIES.add
async def the_gate_drops_the_oldest_audio(p: Process) -> None:
    line = await Line.connected(p, _policy(GatePolicy.DROP_OLDEST_MEDIA))

    async def more_than_it_takes() -> None:
        await line.text()
        await line.audio(4)

    await _through_a_restart(line, more_than_it_takes)
    await line.end()


@STORIES.add
async def the_gate_takes_nothing(p: Process) -> None:
    line = await Line.connected(p, _policy(GatePolicy.FAIL_SEND))

    async def refused() -> None:
        with contextlib.suppress(GateOverflow):
            await line.text()
        with contextlib.suppress(GateOverflow):
            await line.audio()

    await _through_a_restart(line, refused)
    await line.text("taken again")
    await line.end()
