"""Short stories of the provider's boundary: connections that come, go, fail and are left in doubt."""

import contextlib

from agentfield_journal import JournalError
from agentfield_rt.controller import BoundarySettings
from agentfield_rt.core.records import Decision, Limits
from agentfield_rt.errors import (
    CloseReason,
    ConnectionLost,
    IllegalCommand,
    ProviderError,
    Reason,
    RepairNeeded,
)
from tests.recovery.process import Process, settle
from tests.recovery.stage import ONE_BY_ONE, SMALL_WINDOWS, Line, Stories

STORIES = Stories()


@STORIES.add
async def all_goes_well(p: Process) -> None:
    line = await Line.connected(p, ONE_BY_ONE)
    await line.text()
    await line.receive()
    line.say("resp_x")
    await line.receive()
    await line.controller.interrupt("resp_x", heard_ms=20)
    restart = p.held.hold("restart")
    restarting = p.start(line.controller.restart(Reason.CONNECTION_LOST))
    await restart.wait_reached()
    await line.text("waits behind the gate")
    restart.release()
    await restarting
    await line.end()


@STORIES.add
async def the_connection_is_lost_and_comes_back(p: Process) -> None:
    line = await Line.connected(p)
    await line.audio(2)
    receiving = p.start(line.controller.receive(demand=4))
    await settle()
    p.provider.drop()
    with contextlib.suppress(ConnectionLost):
        await receiving
    await line.text("while there is none")
    p.held.hold("restart").fail(ProviderError("busy", reason=Reason.UNAVAILABLE, retryable=True))
    p.held.hold("restart").doubt()
    with contextlib.suppress(ProviderError):
        await line.controller.reconnect(Reason.CONNECTION_LOST)
    await line.audio(2)
    await line.end(CloseReason.SHUTDOWN)


@STORIES.add
async def the_restarts_are_spent(p: Process) -> None:
    line = await Line.connected(p, BoundarySettings(limits=Limits(restarts_max=3)))
    for _ in range(3):
        await line.controller.restart(Reason.SESSION_EXPIRED)
    with contextlib.suppress(IllegalCommand):
        await line.controller.restart(Reason.SESSION_EXPIRED)
    await line.text()
    await line.end()


@STORIES.add
async def a_text_in_doubt(p: Process) -> None:
    line = await Line.connected(p)
    for decision in (Decision.NOT_DONE, Decision.DONE):
        p.held.hold("send").doubt()
        with contextlib.suppress(ProviderError):
            await line.text()
        for op_id in line.controller.state.unknown:
            line.controller.reconcile(op_id, decision)
            await line.durable("realtime_reconciled")
    p.held.hold("send").lose()
    with contextlib.suppress(ProviderError):
        await line.text("no answer until the deadline")
    await line.close()
    for op_id in line.controller.state.unknown:
        line.controller.reconcile(op_id, Decision.ABANDONED)
    await line.seal()


@STORIES.add
async def the_provider_refuses_at_first(p: Process) -> None:
    line = await Line.begin(p)
    p.held.hold("connect").fail()
    with contextlib.suppress(ProviderError):
        await line.controller.connect()
    await line.controller.connect()
    await line.durable("realtime_connected")
    await line.end()


@STORIES.add
async def nobody_knows_whether_it_connected(p: Process) -> None:
    line = await Line.begin(p)
    p.held.hold("connect", acted=True).doubt()
    with contextlib.suppress(ProviderError):
        await line.controller.connect()
    await line.end(CloseReason.PROVIDER_FAILURE)


@STORIES.add
async def it_is_hung_up_on_twice(p: Process) -> None:
    line = await Line.connected(p)
    await line.audio(3)
    p.held.hold("close").fail()
    with contextlib.suppress(ProviderError):
        await line.close(CloseReason.CALLER_GONE)
    p.held.hold("close").lose()
    with contextlib.suppress(ProviderError):
        await line.close(CloseReason.CALLER_GONE)
    for op_id in line.controller.state.unknown:
        line.controller.reconcile(op_id, Decision.NOT_DONE)
    await line.end(CloseReason.CALLER_GONE)


@STORIES.add
async def it_is_left_to_the_host(p: Process) -> None:
    line = await Line.connected(p)
    line.say("resp_x")
    await line.receive()
    await line.text()
    await line.end(CloseReason.DETACH)


@STORIES.add
async def the_host_gives_it_up(p: Process) -> None:
    line = await Line.connected(p, SMALL_WINDOWS)
    await line.audio(3)
    receiving = p.start(line.controller.receive(demand=4))
    await settle()
    line.controller.fail(Reason.INTERNAL)
    await line.durable("realtime_failed")
    with contextlib.suppress(ProviderError):
        await receiving
    await line.seal(CloseReason.INTERNAL)


@STORIES.add
async def the_disk_is_full_for_a_moment(p: Process) -> None:
    line = await Line.connected(p, SMALL_WINDOWS)
    await line.audio(1)
    for _ in range(2):
        p.faults.fail("append")
        with contextlib.suppress(JournalError, ProviderError):
            await line.text()
    p.faults.fail("append", nth=2)
    with contextlib.suppress(JournalError, ProviderError):
        await line.text("its outcome is owed")
    with contextlib.suppress(RepairNeeded):
        await line.audio(1)
    for op_id in line.controller.state.unknown:
        line.controller.reconcile(op_id, Decision.DONE)
    await line.audio(2)
    await line.end()


@STORIES.add_with(emergencies=1)
async def it_is_hung_up_on_in_an_emergency(p: Process) -> None:
    line = await Line.connected(p)
    await line.audio(3)
    p.faults.fail("append")
    p.faults.fail("append", nth=2)
    for _ in range(3):
        with contextlib.suppress(JournalError, IllegalCommand):
            await line.controller.close()
    await line.durable("realtime_emergency_closed")
    for op_id in line.controller.state.unknown:
        line.controller.reconcile(op_id, Decision.ABANDONED)
    await line.seal()
