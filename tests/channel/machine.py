"""A session whose agents lose their wires and their lives, in any order.

Hypothesis looks for a turn that is lost, or answered twice.
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agentfield_rt import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.errors import Reason
from agentfield_rt.testing.virtual_time import VirtualTimeLoop, time_passes
from agentfield_rt.voice.link import Handler, SessionLink
from agentfield_rt.voice.turns import WAITING_MAX
from tests.channel.elsewhere import Elsewhere, Function, Process
from tests.voice import call as stage
from tests.voice.call import VoiceCall, voice_call

LEASE_S = 3.0
PROCESSES_MAX = 3


class Broken(AssertionError):
    """A promise was."""


class ChannelMachine(RuleBasedStateMachine):
    """One call, and up to three processes that may handle it.

    Every turn is answered once, with its own id; it fails only if there was a time without any process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop(seed=1, hours=24)
        self.runner = asyncio.Runner(loop_factory=lambda: self.loop)
        self.loop = self.runner.get_loop()  # type: ignore[assignment]
        self.patch = pytest.MonkeyPatch()
        self.stack, self.calling = AsyncExitStack(), AsyncExitStack()
        self.alive: list[Process] = []
        self.gates: list[asyncio.Event] = []
        self.always_somebody = True
        self.turns = 0
        self.call: VoiceCall | None = None

    def make_handler(self, gate: asyncio.Event) -> Function:
        async def answer(session: RealtimeSession) -> None:
            while True:
                try:
                    async with asyncio.timeout(1):
                        turn = await session.input()
                except TimeoutError:
                    continue  # a turn that comes just now is not lost
                session.state["last"] = turn.id
                await gate.wait()
                session.say(turn.id)
                await time_passes(0.2)  # it has answered, and does not ask for the next one yet

        return answer

    @initialize()
    def begin(self) -> None:
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        self.there = Elsewhere(lease_s=LEASE_S)
        self.stack.push_async_callback(self.there.close)

        async def handle(link: SessionLink) -> None:
            await self.there.run(link)

        def handler_of(_: object) -> Handler:
            return handle

        self.patch.setattr(stage, "handler_of", handler_of)
        await self._start()
        await self._call()

    async def _call(self) -> None:
        """Somebody calls a plane that knows an agent."""
        self.turns, self.always_somebody = 0, True
        self.there.nodes.listen(lambda _: self._look())
        self._look()
        self.call = await self.calling.enter_async_context(voice_call(None, beside_others=True))

    async def _start(self) -> None:
        gate = asyncio.Event()
        gate.set()
        self.gates.append(gate)
        self.alive.append(await self.there.start(self.make_handler(gate)))

    def _look(self) -> None:
        """Whether there is a process that a turn could go to."""
        node = self.there.nodes.find("node")
        assert node is not None
        self.always_somebody &= node.lifecycle.value == "ready"

    # The user.

    @rule()
    def user_speaks(self) -> None:
        assert self.call is not None
        if not self.call.session.is_over and self.turns < WAITING_MAX - 2:
            self.turns += 1
            self.runner.run(self.call.user_says("hello"))

    # Planes.

    @rule(during_an_answer=st.booleans())
    def plane_is_killed_and_another_starts(self, during_an_answer: bool) -> None:
        if during_an_answer:
            self.handlers_go_on()
            self.user_speaks()
        self.runner.run(self._restart())

    async def _restart(self) -> None:
        """Calls end with their plane, of which no agent hears a word; then agents come to the next one."""
        assert self.call is not None
        for process in self.alive:
            process.dialer.fleet = None
            process.dialer.wires[-1].cut()
        await self.call.session.close()
        await self.call.session.ended()
        await self._check(self.call, was_over=True, with_its_plane=True)
        await self.calling.aclose()
        self.there.restart()
        self.processes_reach_the_plane_again()
        self.wires_are_fast_again()
        if not self.alive:
            await self._start()
        while self.there.nodes.find("node") is None:
            await time_passes(0.1)
        await self._call()

    # Processes.

    @precondition(lambda self: len(self.alive) < PROCESSES_MAX)
    @rule()
    def process_starts(self) -> None:
        self.runner.run(self._start())

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2))
    def process_is_killed(self, which: int) -> None:
        process = self.alive.pop(which % len(self.alive))
        self.runner.run(process.kill())

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2))
    def process_dies_as_it_answers(self, which: int) -> None:
        if len(self.alive) < PROCESSES_MAX:
            self.process_starts()
        self.handlers_go_on()
        self.user_speaks()
        self.process_is_killed(which)
        self.time_passes(LEASE_S)

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2))
    def process_leaves(self, which: int) -> None:
        async def leave() -> None:
            process = self.alive.pop(which % len(self.alive))
            await process.connection.leave(within_s=0.1)
            await process.kill()

        self.runner.run(leave())

    @rule(which=st.integers(0, 20))
    def handler_hesitates(self, which: int) -> None:
        self.gates[which % len(self.gates)].clear()

    @rule()
    def handlers_go_on(self) -> None:
        for gate in self.gates:
            gate.set()

    # Wires.

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2))
    def wire_breaks(self, which: int) -> None:
        self.alive[which % len(self.alive)].dialer.wires[-1].cut()

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2), of_plane=st.booleans())
    def wire_is_slow(self, which: int, of_plane: bool) -> None:
        wire = self.alive[which % len(self.alive)].dialer.wires[-1]
        (wire.other if of_plane else wire).is_held = True

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2), of_plane=st.booleans())
    def wire_breaks_while_somebody_speaks(self, which: int, of_plane: bool) -> None:
        self.wire_is_slow(which, of_plane)
        self.user_speaks()
        self.wire_breaks(which)

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2))
    def turn_comes_when_nobody_waits(self, which: int) -> None:
        self.wire_is_slow(which, True)
        self.user_speaks()
        self.time_passes(1.0)
        self.wires_are_fast_again()

    @rule()
    def wires_are_fast_again(self) -> None:
        for process in self.alive:
            for wire in process.dialer.wires:
                wire.release()
                wire.other.release()

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 2))
    def process_is_cut_off(self, which: int) -> None:
        dialer = self.alive[which % len(self.alive)].dialer
        dialer.fleet = None
        dialer.wires[-1].cut()

    @rule()
    def processes_reach_the_plane_again(self) -> None:
        for process in self.alive:
            process.dialer.fleet = self.there.fleet

    @rule(s=st.sampled_from([0.001, 0.03, 0.5, 1.0, 2.0, LEASE_S, 2 * LEASE_S]))
    def time_passes(self, s: float) -> None:
        self.runner.run(time_passes(s))

    # What must hold.

    def teardown(self) -> None:
        try:
            if self.call is not None:
                self.runner.run(self._end(self.call))
        finally:
            self.patch.undo()
            self.runner.close()

    async def _end(self, call: VoiceCall) -> None:
        """Everything heals; then nothing is owed any more."""
        self.handlers_go_on()
        self.wires_are_fast_again()
        self.processes_reach_the_plane_again()
        await time_passes(3 * LEASE_S)
        await self._start()
        was_over = call.session.is_over
        if not was_over:
            await call.user_says("goodbye")
        await time_passes(10 * LEASE_S)
        try:
            await self._check(call, was_over=was_over)
            handlers = sum(map(handlers_of, self.alive))
            if handlers > (not call.session.is_over):
                raise Broken(f"{handlers} handlers run, of which some are nobody's")
        finally:
            await self.calling.aclose()
            await self.stack.aclose()

    async def _check(self, call: VoiceCall, *, was_over: bool, with_its_plane: bool = False) -> None:
        started = [record.op_id for record in await call.of_kind(records.TurnStarted)]
        failed = {record.op_id: record.reason for record in await call.of_kind(records.TurnFailed)}
        said = Counter(
            [await call.text_of(record.text_ref) for record in await call.of_kind(records.UtteranceRequested)]
        )
        if self.always_somebody and failed and not with_its_plane:
            raise Broken(f"turns failed, and there was always somebody to answer them: {failed}")
        for turn_id in started:
            if said[turn_id] > 1:
                raise Broken(f"{turn_id} is answered {said[turn_id]} times")
            if turn_id not in failed and not said[turn_id]:
                raise Broken(f"{turn_id} is lost: neither answered nor failed")
            if turn_id in failed and said[turn_id]:
                raise Broken(f"{turn_id} failed, and was answered")
            if failed.get(turn_id) not in (None, Reason.PROCESS_LOST) and not was_over:
                raise Broken(f"{turn_id} failed as {failed[turn_id]}")
        answers = [turn_id for turn_id in said if turn_id in started]
        if answers != [turn_id for turn_id in started if turn_id in answers]:
            raise Broken("turns are answered in another order")


def handlers_of(process: Process) -> int:
    """How many handlers run in a process."""
    connection: Any = process.connection
    return len(connection._handling._tasks)
