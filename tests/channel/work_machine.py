"""Executions at agents that lose their wires, under planes that are killed, in any order.

Hypothesis looks for work that is lost, that is done twice, or that goes on when nobody wants it.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agentfield_journal import JournalError
from agentfield_rt import Agent
from agentfield_rt.agent.context import CURRENT
from agentfield_rt.agent.remote.connection import Connection
from agentfield_rt.errors import RealtimeError, Reason
from agentfield_rt.plane.channel.executions import ExecutionsEngine
from agentfield_rt.plane.channel.fleet import Fleet
from agentfield_rt.plane.channel.leases import Leases
from agentfield_rt.plane.executions.carrying import IN_DOUBT_S
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes import Lifecycle
from agentfield_rt.testing.virtual_time import VirtualTimeLoop, time_passes
from tests.channel.elsewhere import Process, register
from tests.channel.wires import MemoryDialer
from tests.plane.executions.stage import Stage, work

LEASE_S = 3.0
PROCESSES_MAX = 2
LAST = st.integers(0, 3)
"""Which execution: the last that was accepted, the one before …"""


class Broken(AssertionError):
    """A promise was."""


class WorkMachine(RuleBasedStateMachine):
    """Up to two processes of one node, and one plane after the other.

    As long as no process dies, and none is away for a lease, all is done, and done once. Whatever happens,
    all that was accepted ends, and nobody works on what has ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop(seed=1, hours=24)
        self.runner = asyncio.Runner(loop_factory=lambda: self.loop)
        self.stage = Stage(self.loop.time_ns)
        self.alive: list[Process] = []
        self.accepted: list[str] = []
        self.cancelled: set[str] = set()
        self.runs: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.nobody_was_lost = True
        self.submitting: set[asyncio.Task[None]] = set()

    def wait_for(self, act: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(act)

    @initialize()
    def begin(self) -> None:
        self.wait_for(self._open())
        self.process_starts()

    async def _open(self) -> None:
        self.stage.lifecycle = Lifecycle.OFFLINE
        await self.stage.open()
        nodes = self.stage.nodes
        engine = ExecutionsEngine(self.stage.executions, reports=None)  # type: ignore[arg-type]  # none notes
        leases = Leases(lease_s=LEASE_S, keep_alive_s=LEASE_S / 3)
        nodes.remove("far")
        self.fleet = Fleet(nodes, engine, register=register, leases=leases)
        nodes.replace(self.stage.node_of(self.fleet.expect("far")))
        self.fleet.count_lease()
        for process in self.alive:
            process.dialer.fleet = self.fleet

    # Planes.

    @precondition(lambda self: self.alive)
    @rule()
    def plane_and_process_are_killed(self) -> None:
        async def kill() -> None:
            self.nobody_was_lost = False
            self.stage.kill()
            for process in self.alive:
                process.dialer.fleet = None
                process.dialer.wires[-1].cut()
            await self.alive.pop().kill()
            await self._open()

        self.wait_for(kill())

    @rule(welcome_is_lost=st.booleans())
    def plane_is_killed_and_another_starts(self, welcome_is_lost: bool) -> None:
        async def kill() -> None:
            self.stage.kill()
            for process in self.alive:
                process.dialer.fleet = None
                process.dialer.wires[-1].cut()
                process.dialer.is_held = welcome_is_lost
            await self._open()
            await time_passes(0.2)
            for process in self.alive:
                process.dialer.is_held = False
                if welcome_is_lost:
                    process.dialer.wires[-1].cut()

        self.wait_for(kill())

    @rule(hold=st.booleans())
    def work_is_submitted(self, hold: bool) -> None:
        async def submit() -> None:
            plane = self.fleet
            try:
                execution = await self.stage.executions.submit(work(hold=hold))
            except (RealtimeError, JournalError):
                return
            if plane is self.fleet:  # of one that was killed, nobody heard that it accepted
                self.accepted.append(execution.execution_id)

        async def begin() -> None:
            task = asyncio.create_task(submit())
            self.submitting.add(task)
            task.add_done_callback(self.submitting.discard)

        self.wait_for(begin())

    @precondition(lambda self: self.accepted)
    @rule(which=LAST)
    def somebody_cancels(self, which: int) -> None:
        async def cancel() -> None:
            execution_id = self.accepted[-1 - which % len(self.accepted)]
            try:
                await self.stage.executions.cancel(execution_id)
            except RealtimeError:
                return  # it has ended
            self.cancelled.add(execution_id)

        self.wait_for(cancel())

    # Processes.

    @precondition(lambda self: len(self.alive) < PROCESSES_MAX)
    @rule()
    def process_starts(self) -> None:
        self.wait_for(self._start())

    async def _start(self) -> None:
        app = Agent("far", server="http://plane")

        @app.reasoner("work")
        async def _(hold: bool = False) -> bool:
            current = CURRENT.get()
            assert current is not None
            self.runs[current.execution_id or ""] += 1
            if hold:
                await self.gate.wait()
            return True

        dialer = MemoryDialer(self.fleet)
        connection = Connection(app, "http://plane", api_key=None, dialer=dialer)
        task = asyncio.create_task(connection.run(), name="agent")
        self.alive.append(Process(app, connection, dialer, task))
        await connection.welcomed.wait()

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 1))
    def process_is_killed(self, which: int) -> None:
        self.nobody_was_lost = False
        self.wait_for(self.alive.pop(which % len(self.alive)).kill())

    @rule()
    def what_was_held_goes_on(self) -> None:
        self.gate.set()
        self.gate = asyncio.Event()

    # Wires.

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 1))
    def wire_breaks(self, which: int) -> None:
        self.alive[which % len(self.alive)].dialer.wires[-1].cut()

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 1), of_plane=st.booleans())
    def what_is_on_a_wire_is_lost(self, which: int, of_plane: bool) -> None:
        wire = self.alive[which % len(self.alive)].dialer.wires[-1]
        (wire.other if of_plane else wire).is_held = True
        self.work_is_submitted(False)
        self.turns_pass(20)
        wire.cut()

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 1), s=st.sampled_from([0.5, 2 * LEASE_S, IN_DOUBT_S + LEASE_S]))
    def process_is_cut_off(self, which: int, s: float) -> None:
        dialer = self.alive[which % len(self.alive)].dialer
        dialer.fleet = None
        dialer.wires[-1].cut()
        self.nobody_was_lost &= s < LEASE_S
        self.time_passes(s)
        dialer.fleet = self.fleet

    @rule(turns=st.sampled_from([1, 3, 20]))
    def turns_pass(self, turns: int) -> None:
        async def pass_() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.wait_for(pass_())

    @rule(s=st.sampled_from([0.01, 0.2, 1.0, LEASE_S]))
    def time_passes(self, s: float) -> None:
        self.wait_for(time_passes(s))

    # What must hold.

    def teardown(self) -> None:
        try:
            self.wait_for(self._end())
        finally:
            self.runner.close()

    async def _end(self) -> None:
        """Everything heals; then nothing is owed any more."""
        if not self.alive:
            await self._start()
        await time_passes(IN_DOUBT_S + 3 * LEASE_S)
        await self._check_what_is_worked_on()
        for _ in range(2):
            self.gate.set()
            await time_passes(IN_DOUBT_S + 3 * LEASE_S)
        await self._check()
        for process in self.alive:
            await process.kill()
        await self.fleet.close()
        await self.stage.close()

    async def _check(self) -> None:
        for execution_id in self.accepted:
            execution = await self.stage.executions.get(execution_id)
            ended = execution.status, execution.reason
            if execution_id in self.cancelled:
                if execution.status is not ExecutionStatus.CANCELLED:
                    raise Broken(f"{execution_id} was cancelled and is {ended}")
            elif not execution.is_final:
                raise Broken(f"{execution_id} is lost: {ended}, run {self.runs[execution_id]} times")
            elif self.nobody_was_lost and (ended[0], self.runs[execution_id]) != (
                ExecutionStatus.SUCCEEDED,
                1,
            ):
                raise Broken(f"{execution_id} is {ended} and was run {self.runs[execution_id]} times")
            elif ended not in (
                (ExecutionStatus.SUCCEEDED, None),
                (ExecutionStatus.FAILED, Reason.PROCESS_LOST),
            ):
                raise Broken(f"{execution_id} is {ended}")
        for process in self.alive:
            if left := running_at(process):
                raise Broken(f"an agent still has {left}")

    async def _check_what_is_worked_on(self) -> None:
        for execution_id in (each for process in self.alive for each in running_at(process)):
            execution = await self.stage.executions.get(execution_id)
            if execution.is_final:
                raise Broken(f"{execution_id} is {execution.status}, and somebody works on it")


def running_at(process: Process) -> tuple[str, ...]:
    """The executions that a process has begun, or whose end it has not been told is recorded."""
    connection: Any = process.connection
    found: tuple[str, ...] = connection._executing.ids
    return found
