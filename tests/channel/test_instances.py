"""Agents that come, go and come back in every way there is, and what they were given meanwhile."""

import asyncio
from typing import Any

import pytest

from agentfield_rt import RealtimeSession
from agentfield_rt.agent import ExecutionContext
from agentfield_rt.agent.remote.requests import Requests
from agentfield_rt.channel.delivery import UNRECEIVED_BYTES_MAX, UNRECEIVED_MAX, ChannelFull
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.to_agent import Welcome
from agentfield_rt.channel.to_plane import Call
from agentfield_rt.channel.wire import Wire
from agentfield_rt.plane.channel.fleet import ChannelNode
from agentfield_rt.plane.executions.dispatch import (
    CapabilityKind,
    Dispatch,
    DispatchInDoubt,
    NodeUnreachable,
)
from agentfield_rt.plane.nodes import Lifecycle
from tests.channel.elsewhere import LEASE_S, Elsewhere, elsewhere
from tests.channel.raw import RawAgent, raw_agent
from tests.channel.wires import until
from tests.virtual_time import in_virtual_time, time_passes


def work(execution_id: str, **more: Any) -> Dispatch:
    return Dispatch(
        execution_id=execution_id,
        run_id="run_1",
        name="work",
        kind=CapabilityKind.REASONER,
        arguments={},
        **more,
    )


def channel_node(there: Elsewhere) -> ChannelNode:
    node = there.nodes.get("node").dispatcher
    assert isinstance(node, ChannelNode)
    return node


def sent(there: Elsewhere, execution_id: str, **more: Any) -> "asyncio.Task[Any]":
    return asyncio.create_task(channel_node(there).dispatch(work(execution_id, **more)))


@in_virtual_time
async def test_a_wire_that_is_lost_before_the_welcome_leaves_nothing_behind() -> None:
    async with elsewhere() as there:
        agent = RawAgent(there.fleet)
        await agent.dial()
        agent.wire.other.is_cut = True  # the hello arrives, the welcome does not
        agent.wire.other.frames.put_nowait(await hello_of(there))
        await time_passes(LEASE_S / 2)
        assert there.nodes.get("node").lifecycle is Lifecycle.STARTING
        await time_passes(LEASE_S)
        assert there.nodes.get("node").lifecycle is Lifecycle.OFFLINE
        assert len(there.fleet) == 0


async def hello_of(there: Elsewhere) -> str:
    """What an agent says first."""
    agent = RawAgent(there.fleet)
    sayings: list[str] = []

    class Recorder:
        async def send(self, frame: str) -> None:
            sayings.append(frame)
            raise ConnectionError

    async def dial() -> None:
        agent.wire = Recorder()  # type: ignore[assignment]

    agent.dial = dial  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await agent.hello()
    return sayings[0]


@in_virtual_time
async def test_a_second_instance_that_is_lost_at_once_takes_nothing_from_the_first() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as first:
        seen: list[Lifecycle] = []
        there.nodes.listen(lambda _: seen.append(there.nodes.get("node").lifecycle))
        async with raw_agent(there.fleet, "inst_2"):
            pass
        await keeps_alive(first, 2 * LEASE_S)
        assert set(seen) == {Lifecycle.READY}


@in_virtual_time
async def test_a_server_that_stops_does_not_turn_its_agents_away_for_ever() -> None:
    async with elsewhere() as there:
        await there.fleet.close()
        refused = await RawAgent(there.fleet).hello()
        assert (refused["type"], refused["retryable"]) == ("refused", True)


@pytest.mark.parametrize("received", [0, 2, 99])
@in_virtual_time
async def test_an_agent_whose_cursor_fits_nothing_begins_anew(received: int) -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        dispatched = sent(there, "exec_1")
        await agent.message("execute")
        await agent.acknowledge()
        await dispatched
        before = agent.channel_id
        welcome = await agent.hello(received=received, running=["exec_1"])
        assert (welcome["resumed"], welcome["channel_id"] == before) == (False, False)
        await keeps_alive(agent, 2 * LEASE_S)
        assert not there.engine.outcomes, "what it still runs is not lost with the channel it left"


@in_virtual_time
async def test_a_channel_is_that_of_its_process_only() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        thief = RawAgent(there.fleet, "inst_2")
        thief.channel_id = agent.channel_id
        assert (await thief.hello())["resumed"] is False
        other = RawAgent(there.fleet, "inst_1", node_id="other")
        other.channel_id = agent.channel_id
        assert (await other.hello())["resumed"] is False
        await thief.close()
        await other.close()


@in_virtual_time
async def test_of_connections_that_one_process_opens_at_once_the_last_counts() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as first:
        again = [RawAgent(there.fleet) for _ in range(3)]
        for each in again:
            each.channel_id = first.channel_id
        welcomes = await asyncio.gather(*(each.hello() for each in again))
        assert all(welcome["resumed"] for welcome in welcomes)
        *_, last = again
        await keeps_alive(last, 2 * LEASE_S)
        assert [each.wire.is_cut for each in (first, *again)] == [True, True, True, False]
        assert there.nodes.get("node").lifecycle is Lifecycle.READY
        assert len(there.fleet) == 1
        await last.close()


async def keeps_alive(agent: RawAgent, s: float) -> None:
    """Some seconds, in which the agent says that it is there."""
    for _ in range(int(s / LEASE_S * 4)):
        await agent.acknowledge()
        await time_passes(LEASE_S / 4)


@in_virtual_time
async def test_an_agent_that_breaks_the_protocol_at_the_same_message_twice_begins_anew() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        for resumed in (True, False):
            await agent.wire.send('{"seq": 1, "message": {"type": "unheard of"}}')
            await agent.hung_up_on()
            assert (await agent.hello())["resumed"] is resumed


@in_virtual_time
async def test_an_instance_that_receives_nothing_is_given_up_rather_than_left_without_an_answer() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        for number in range(4_097):
            await agent.say("call", request_id=f"req_{number}", target="node.nothing")
            if number % 200 == 0:
                await until(lambda: agent.wire.other.frames.empty())
        await until(lambda: agent.wire.is_cut)
        assert len(there.fleet) == 0
        assert (await agent.hello())["resumed"] is False


# Executions.


@in_virtual_time
async def test_a_cancel_reaches_an_agent_that_has_not_said_that_it_has_the_execution() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        dispatched = sent(there, "exec_1")
        assert (await agent.message())["type"] == "execute"
        await channel_node(there).cancel("exec_1")
        await agent.acknowledge()
        assert await dispatched is None
        await channel_node(there).cancel("exec_1")  # as its carrier does, which learns only now
        assert (await agent.message())["type"] == "cancel_execution"
        await agent.say("leaving")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LEASE_S / 2):
                await agent.message("cancel_execution")


@in_virtual_time
async def test_what_is_cancelled_while_it_waits_for_room_is_given_to_nobody() -> None:
    async with elsewhere() as there, raw_agent(there.fleet, executions_max=1) as agent:
        first, second = sent(there, "exec_1"), sent(there, "exec_2")
        assert (await agent.message("execute"))["execution_id"] == "exec_1"
        await agent.acknowledge()
        await first
        await channel_node(there).cancel("exec_2")
        with pytest.raises(NodeUnreachable):
            await second
        await agent.say("outcome", execution_id="exec_1", status="succeeded")
        third = sent(there, "exec_3")
        assert (await agent.message("execute"))["execution_id"] == "exec_3"
        await agent.acknowledge()
        await third


@in_virtual_time
async def test_what_ended_while_its_agent_was_away_is_stopped_when_it_comes_back() -> None:
    async with elsewhere() as there:
        there.engine.over.add("exec_1")
        async with raw_agent(there.fleet, running=["exec_1", "exec_2"]) as agent:
            stopped = await agent.message("cancel_execution")
            assert stopped["execution_id"] == "exec_1"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(LEASE_S / 2):
                    await agent.message("cancel_execution")


@in_virtual_time
async def test_what_an_agent_may_have_got_before_it_went_is_in_doubt() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        dispatched = sent(there, "exec_1")
        await agent.message("execute")
        agent.wire.cut()
        with pytest.raises(DispatchInDoubt):
            await dispatched
        assert not there.engine.outcomes


@in_virtual_time
async def test_an_outcome_that_does_not_fit_is_told_on_a_channel_of_its_own() -> None:
    go_on = asyncio.Event()

    async def handle(_: RealtimeSession) -> None: ...

    async with elsewhere(lease_s=100) as there:
        process = await there.start(handle, work=go_on.wait)
        await sent(there, "exec_1")
        process.dialer.wires[-1].is_held = True  # the plane hears nothing of what follows
        for _ in range(UNRECEIVED_MAX):
            process.connection.note("hello", (), ExecutionContext("run_1", "exec_1"))
        go_on.set()
        await time_passes(1)
        assert [execution_id for execution_id, _ in there.engine.outcomes] == ["exec_1"]
        assert len(process.dialer.wires) == 2


@in_virtual_time
async def test_more_outcomes_than_a_channel_keeps_are_all_told_to_the_next_plane() -> None:
    go_on = asyncio.Event()

    async def handle(_: RealtimeSession) -> None: ...

    async def write_much() -> str:
        await go_on.wait()
        return "x" * (UNRECEIVED_BYTES_MAX // 18)

    async with elsewhere(lease_s=100) as there:
        process = await there.start(handle, work=write_much)
        for number in range(20):
            await sent(there, f"exec_{number}")
        process.dialer.wires[-1].is_held = True
        go_on.set()
        await time_passes(0)
        await there.fleet.close()
        there.restart()
        process.dialer.fleet = there.fleet
        await time_passes(10)
        assert len({execution_id for execution_id, _ in there.engine.outcomes}) == 20


@in_virtual_time
async def test_an_outcome_that_does_not_fit_while_a_welcome_is_waited_for_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = asyncio.Event()

    async def handle(_: RealtimeSession) -> None: ...

    async with elsewhere(lease_s=100) as there:
        process = await there.start(handle, work=go_on.wait)
        await sent(there, "exec_1")
        process.dialer.wires[-1].cut()
        for _ in range(UNRECEIVED_MAX):
            process.connection.note("hello", (), ExecutionContext("run_1", "exec_1"))
        welcome = process.connection._welcome  # pyright: ignore[reportPrivateUsage]

        async def late_welcome(wire: Wire) -> Welcome:
            came = await welcome(wire)
            go_on.set()
            await time_passes(0)
            return came

        monkeypatch.setattr(process.connection, "_welcome", late_welcome)
        await time_passes(10)
        assert [execution_id for execution_id, _ in there.engine.outcomes] == ["exec_1"]


@in_virtual_time
async def test_calls_that_do_not_fit_on_a_new_channel_are_refused() -> None:
    is_full = False

    def post(_: Message) -> None:
        if is_full:
            raise ChannelFull("too much")

    requests = Requests(post, insist=post)
    asked = asyncio.create_task(requests.ask(Call(request_id="req_1", target="node.work", arguments={})))
    await time_passes(0)
    is_full = True
    requests.ask_again()
    with pytest.raises(ChannelFull):
        await asked


@in_virtual_time
async def test_an_execution_that_cleans_up_is_not_cancelled_again() -> None:
    cleaned = asyncio.Event()

    async def handle(_: RealtimeSession) -> None: ...

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await time_passes(1)
            cleaned.set()

    async with elsewhere(lease_s=100) as there:
        process = await there.start(handle, work=cleans_up)
        await sent(there, "exec_1")
        await channel_node(there).cancel("exec_1")
        await time_passes(0.1)
        there.engine.over.add("exec_1")
        await there.fleet.close()  # the next plane finds that it has ended, and asks for its end once more
        there.restart()
        process.dialer.fleet = there.fleet
        await time_passes(1)
        assert cleaned.is_set()


@in_virtual_time
async def test_a_call_that_nobody_waits_for_is_answered_all_the_same() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        there.engine.holds = True
        for _ in range(2):  # asked twice, answered once
            await agent.say("call", request_id="req_1", target="node.work")
        await agent.say("cancel_request", request_id="req_1")
        failure = (await agent.message("reply"))["failure"]
        assert (failure["fault"], failure["reason"]) == ("execution", "cancelled")
        await agent.say("call", request_id="req_2", target="node.work")
        await agent.message("call_accepted")
        await agent.say("cancel_request", request_id="req_2")
        assert (await agent.message("reply"))["request_id"] == "req_2"


@in_virtual_time
async def test_an_agent_that_reports_faster_than_it_is_written_down_waits() -> None:
    async with elsewhere() as there, raw_agent(there.fleet) as agent:
        there.engine.holds = True
        for number in range(1_000):
            await agent.say("outcome", execution_id=f"exec_{number}", status="succeeded")
        await time_passes(LEASE_S / 2)
        assert there.engine.reporting <= 256
        there.engine.holds = False
        for _ in range(1_000):
            await agent.message("outcome_recorded")
            if agent.received % 100 == 0:
                await agent.acknowledge()
