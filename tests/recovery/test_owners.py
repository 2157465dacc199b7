"""Two owners: a process that was thought dead goes on after another one has claimed its run."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agentfield_journal import Cursor, JournalConflict, JournalError
from agentfield_journal.ports import RunWriter
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.errors import Reason
from agentfield_rt.frames import AudioFrame, TextFrame
from agentfield_rt.testing import FaultJournal, run
from agentfield_rt.testing.fault_journal import FaultWriter
from tests.recovery.checks import check, require
from tests.recovery.enumeration import go_on
from tests.recovery.golden import GOLDEN
from tests.recovery.process import RUN, Death, Disk, MortalAdapter, Process, Witness, World
from tests.recovery.stage import ONE_BY_ONE, Golden, Line

Ask = Callable[[RealtimeSessionController], Awaitable[object]]
ASKED: dict[str, Ask] = {
    "send": lambda controller: controller.send(TextFrame("late", "too late")),
    "audio": lambda controller: controller.send(AudioFrame("audio-late", bytes(960))),
    "receive": lambda controller: controller.receive(demand=1),
    "interrupt": lambda controller: controller.interrupt("resp_x", heard_ms=0),
    "restart": lambda controller: controller.restart(Reason.CONNECTION_LOST),
}


async def rob(world: World, store: MemoryStore) -> Process:
    """Another process thinks that the owner is dead, takes the run over and brings it to its end."""
    thief = Process(world, store)
    await go_on(thief)
    return thief


@pytest.mark.parametrize("what", ASKED)
def test_an_owner_that_lost_its_run_calls_nobody_any_more_but_hangs_up(what: str) -> None:
    async def work() -> None:
        world, store = World(), MemoryStore()
        old = Process(world, store)
        line = await Line.connected(old, ONE_BY_ONE)
        line.say("resp_x")
        await line.receive()
        await line.run.durable()
        calls = old.adapter.calls_total
        await rob(world, store)
        with pytest.raises(JournalConflict):
            await ASKED[what](line.controller)
        assert old.adapter.calls_total == calls, "it acted on a run that is not its own"
        with pytest.raises(JournalConflict):
            await line.controller.close()
        assert old.adapter.closed, "its connection is still open, and so may be a microphone"
        assert old.adapter.calls_total == calls + 1
        check(world, await FaultJournal(store).read(RUN), emergencies=1)

    run(work())


def test_an_owner_in_the_midst_of_a_window_sends_no_more_than_it_had_announced() -> None:
    async def work() -> None:
        world, store = World(), MemoryStore()
        old = Process(world, store)
        line = await Line.connected(old)
        await line.audio(7)
        await line.run.durable()
        await rob(world, store)
        with pytest.raises(JournalError):
            await line.audio(1_000)
        with pytest.raises(JournalConflict):
            await line.controller.close()
        assert old.adapter.closed
        # What the old owner sent late is the same as what it sent just before: in doubt up to frame n.
        world.providers.sort(key=lambda provider: provider is not old.provider)
        check(world, await FaultJournal(store).read(RUN), emergencies=1)

    run(work())


# A lease that expires at every await of its owner.


class Robbery:
    """At one of its owner's waits another process takes the run over, and ends it; then the owner goes on."""

    def __init__(self, nth: int, world: World, store: MemoryStore) -> None:
        self.happened = self.is_over = False
        self.thief: asyncio.Task[Process] | None = None
        self.waits_total = 0
        self._nth = nth
        self._world = world
        self._store = store

    async def wait(self) -> None:
        self.waits_total += 1
        if self.waits_total == self._nth and not self.is_over:
            self.happened = True
            self.thief = asyncio.create_task(rob(self._world, self._store))
            await asyncio.shield(self.thief)


class RobbedWriter(Witness):
    """The owner may be robbed before it waits for the disk, and after."""

    def __init__(self, inner: RunWriter, world: World, robbery: Robbery) -> None:
        super().__init__(inner, world)
        self._robbery = robbery

    async def durable(self, cursor: Cursor) -> None:
        await self._robbery.wait()
        await super().durable(cursor)
        await self._robbery.wait()


class RobbedDisk(Disk):
    def __init__(self, store: MemoryStore, world: World, robbery: Robbery) -> None:
        super().__init__(store, world, Death("end"))
        self.robbery = robbery

    async def open_run(self, run_id: str) -> FaultWriter:
        inner = await self._journal.open_run(run_id)
        return FaultWriter(RobbedWriter(inner, self.world, self.robbery), self.faults)


class RobbedProcess(Process):
    """The owner of a run, who may be robbed at any wait for the disk or the provider's answer."""

    def __init__(self, golden: Golden, nth: int) -> None:
        world, store = World(), MemoryStore()
        super().__init__(world, store, answer=golden.answer)
        self.robbery = Robbery(nth, world, store)
        self.journal = RobbedDisk(store, world, self.robbery)
        self.adapter = RobbedAdapter(self)

    async def undisturbed(self) -> None:
        self.robbery.is_over = True
        if self.robbery.thief is not None:
            await asyncio.wait({self.robbery.thief})


class RobbedAdapter(MortalAdapter):
    """The owner may be robbed while it waits for an answer."""

    def __init__(self, process: RobbedProcess) -> None:
        super().__init__(process.held, process.faults, Death("end"))
        self._robbery = process.robbery

    async def answered(self) -> None:
        await self._robbery.wait()


async def robbed(golden: Golden, nth: int) -> RobbedProcess:
    """Tell a story whose owner is robbed at its `nth` wait."""
    owner = RobbedProcess(golden, nth)

    async def told() -> None:
        await golden.tell(owner)

    error = await owner.live(told())
    if owner.robbery.thief is not None:
        await owner.robbery.thief
    if error is not None and not owner.robbery.happened:
        raise error
    return owner


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_a_lease_that_expires_at_any_await_of_its_owner_lets_nothing_happen_twice(golden: Golden) -> None:
    waits = run(robbed(golden, 0)).robbery.waits_total

    async def work(nth: int) -> None:
        owner = await robbed(golden, nth)
        world = owner.world
        envelopes = await FaultJournal(owner.store).read(RUN)
        epochs = [envelope.epoch for envelope in envelopes]
        require(epochs == sorted(epochs), "a record of the old owner follows one of the new")
        world.providers.sort(key=lambda provider: provider is not owner.provider)
        check(world, envelopes, emergencies=1 + golden.emergencies)

    assert waits > 3
    for nth in range(1, waits + 1):
        try:
            run(work(nth))
        except BaseException as error:
            error.add_note(f"{golden.name}: robbed at wait {nth}")
            raise
