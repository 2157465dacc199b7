"""A process that dies where it is told to, and the world that outlives it: provider, sinks, tools."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from agentfield_journal import Cursor, QueuedContentStore
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.ports import RunWriter
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Store, StoredRow, make_batch
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import AudioFrame, InputFrame, ProviderEvent
from agentfield_rt.ports import Clock, Connection, ConnectRequest
from agentfield_rt.run import Context
from agentfield_rt.testing import Crashed, Effects, FaultJournal, HeldAdapter, MemoryProvider
from agentfield_rt.testing.fault_journal import FaultWriter, JournalFaults
from agentfield_rt.testing.memory_provider import Answer, echo
from tests.forwarding_writer import ForwardingWriter

T = TypeVar("T")

RUN = "run_1"
SESSION = "sess_1"
CONTEXT = Context(session_id=SESSION)
ROWS_MAX = 1_000_000
LIVES_S = 120.0
"""A story whose answer was lost may wait for ever; its process dies after so long."""

TICK_S = 0.25

Where = Literal["append", "durable", "durable stored", "call before", "call after", "call lost", "end"]
WHERE: tuple[Where, ...] = ("append", "durable", "durable stored", "call before", "call after", "call lost")


@dataclass(frozen=True, slots=True)
class Death:
    """Where a process dies: in the `nth` append, wait for the disk, or adapter call; or when all is told.

    Of a call: before the provider acted, after it, or much later, the answer never having come.
    """

    where: Where
    nth: int = 0

    def __str__(self) -> str:
        return f"{self.where} {self.nth}"


@dataclass
class Told:
    """Something that a call said had happened, durably: the kind of a record, and its operation."""

    kind: str
    op_id: str | None


@dataclass
class World:
    """What outlives a process, and knows what really happened."""

    effects: Effects = field(default_factory=Effects)
    providers: list[MemoryProvider] = field(default_factory=list[MemoryProvider])
    delivered: Counter[str] = field(default_factory=Counter[str])
    asked: Counter[str] = field(default_factory=Counter[str])
    ran: Counter[str] = field(default_factory=Counter[str])
    told: list[Told] = field(default_factory=list[Told])
    told_seq: int = 0
    content: QueuedContentStore = field(default_factory=lambda: QueuedContentStore(MemoryContent()))

    def copy(self) -> "World":
        """The same past, and a future of its own. Whoever acted in it must be dead."""
        effects = Effects()
        effects.calls = list(self.effects.calls)
        return World(
            effects=effects,
            providers=list(self.providers),
            delivered=Counter(self.delivered),
            asked=Counter(self.asked),
            ran=Counter(self.ran),
            told=list(self.told),
            told_seq=self.told_seq,
            content=self.content,
        )

    @property
    def heard(self) -> list[InputFrame]:
        """What reached the provider, in order, from all owners."""
        return [frame for provider in self.providers for frame in provider.got]

    @property
    def heard_audio(self) -> list[bytes]:
        return [frame.pcm for frame in self.heard if isinstance(frame, AudioFrame)]

    def provider(self, answer: Answer = echo) -> MemoryProvider:
        """For the next owner; the provider's names for connections never come twice."""
        provider = MemoryProvider(answer=answer)
        provider.connections_total = 100 * len(self.providers)
        self.providers.append(provider)
        return provider


class MortalAdapter:
    """A `ProviderAdapter` in a process that may die at any of its calls; a dead process calls nobody."""

    def __init__(self, inner: HeldAdapter, faults: JournalFaults, death: Death) -> None:
        self.inner = inner
        self.calls_total = 0
        self.closed = False
        self._faults = faults
        self._death = death

    async def connect(self, request: ConnectRequest) -> Connection:
        return await self._call(lambda: self.inner.connect(request))

    async def send(self, frame: InputFrame) -> None:
        await self._call(lambda: self.inner.send(frame))

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        return await self._call(lambda: self.inner.receive(demand=demand))

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        await self._call(lambda: self.inner.interrupt(response_id, heard_ms=heard_ms))

    async def restart(self, request: ConnectRequest) -> Connection:
        return await self._call(lambda: self.inner.restart(request))

    async def close(self, reason: CloseReason) -> None:
        self.closed = True
        await self._call(lambda: self.inner.close(reason))

    async def _call(self, act: Callable[[], Awaitable[T]]) -> T:
        self._faults.require_life()
        self.calls_total += 1
        fate = self._death.where if self.calls_total == self._death.nth else "end"
        if fate == "call before":
            self._die()
        result = await act()
        await self.answered()
        self._faults.require_life()
        if fate == "call after":
            self._die()
        if fate == "call lost":
            await asyncio.Event().wait()
        return result

    async def answered(self) -> None:
        """The provider has acted, and its answer is on its way."""

    def _die(self) -> None:
        self._faults.die()
        raise Crashed("the process died in an adapter call")


class Witness(ForwardingWriter):
    """A `RunWriter` that remembers up to where somebody was told that the journal is durable."""

    def __init__(self, inner: RunWriter, world: World) -> None:
        super().__init__(inner)
        self._world = world

    async def durable(self, cursor: Cursor) -> None:
        await self._inner.durable(cursor)
        self._world.told_seq = max(self._world.told_seq, cursor.seq)


class Disk(FaultJournal):
    """A journal of one process, whose writers have a witness."""

    def __init__(self, store: Store, world: World, death: Death) -> None:
        super().__init__(store)
        self.world = world
        if death.where == "append" or death.where == "durable":
            self.faults.crash(death.where, nth=death.nth)
        elif death.where == "durable stored":
            self.faults.crash("durable", nth=death.nth, stored=True)

    async def open_run(self, run_id: str) -> FaultWriter:
        return FaultWriter(Witness(await self._journal.open_run(run_id), self.world), self.faults)


class Process:
    """One life: a journal, a provider connection, and whatever a story makes of them."""

    def __init__(
        self,
        world: World,
        store: Store,
        death: Death | None = None,
        *,
        answer: Answer = echo,
        clock: Clock | None = None,
    ) -> None:
        self.world = world
        self.store = store
        self.clock = clock or _virtual_clock
        death = death or Death("end")
        self.journal = Disk(store, world, death)
        self.provider = world.provider(answer)
        self.held = HeldAdapter(self.provider, effects=world.effects)
        self.adapter = MortalAdapter(self.held, self.journal.faults, death)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def faults(self) -> JournalFaults:
        return self.journal.faults

    def tell(self, kind: str, op_id: str | None = None) -> None:
        """A call has returned that promises so much."""
        self.world.told.append(Told(kind, op_id))

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Something that goes on beside the story, for as long as the process lives."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(_look)
        return task

    async def live(self, story: Coroutine[Any, Any, None]) -> BaseException | None:
        """Run until the story is told or the process dies; nothing of it is left afterwards.

        Returns:
            What came out of the story, if it did not die first.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_complain)
        before = asyncio.all_tasks()
        task = self.start(story)
        ends_at_s = loop.time() + LIVES_S
        while not task.done() and not self.faults.crashed and loop.time() < ends_at_s:
            await asyncio.wait({task}, timeout=TICK_S)
        await self.undisturbed()
        failed = task.exception() if task.done() else None
        is_dead = self.faults.crashed
        self.faults.die()
        while rest := asyncio.all_tasks() - before:
            for each in rest:
                each.cancel()
            await asyncio.wait(rest, timeout=1.0)
        return None if is_dead else failed

    async def undisturbed(self) -> None:
        """Return once nobody else is at work in this loop."""


def _look(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Timers and tasks of a dead process find it dead."""
    if not isinstance(context.get("exception"), Crashed):
        loop.default_exception_handler(context)


def _virtual_clock() -> int:
    return 1_767_225_600_000_000_000 + int(asyncio.get_running_loop().time() * 1e9)


@dataclass(frozen=True, slots=True)
class Remains:
    """What a dead process left on a disk, and how often the run had been claimed by then."""

    rows: list[StoredRow]
    epoch: int

    @classmethod
    def of(cls, store: Store) -> "Remains":
        return cls(store.page(RUN, 0, ROWS_MAX).rows, store.claim(RUN).epoch)

    def least(self, seq: int) -> "Remains":
        """Nothing but what was durable."""
        return Remains(self.rows[:seq], self.epoch)

    def store(self) -> MemoryStore:
        """A disk with just that on it."""
        store = MemoryStore()
        for _ in range(self.epoch - 1):
            store.claim(RUN)
        claim = store.claim(RUN)
        if self.rows:
            store.commit([make_batch(RUN, claim, self.rows)])
        return store


async def settle(turns: int = 60) -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(turns):
        await asyncio.sleep(0)
