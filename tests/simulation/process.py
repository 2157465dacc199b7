"""A process of the simulated world: its tasks, its journal, and the end of all of it at once."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from itertools import count
from typing import Any, TypeVar

from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import InputFrame, ProviderEvent
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.testing import HeldAdapter
from tests.simulation.storage import ProcessJournal

T = TypeVar("T")

_PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)
_STOPS_WITHIN_S = 30.0


class Process:
    """One process. Every task that is started in one of its tasks is its own.

    Attributes:
        finishing: Set when its lines shall come to their end.
        superseded: Another process has taken over; this one does not know.
    """

    def __init__(
        self,
        journal: ProcessJournal,
        chance: random.Random,
        *,
        clock: Callable[[], int],
        note: Callable[[str], None],
    ) -> None:
        self.journal = journal
        self.chance = chance
        self.clock = clock
        self.note = note
        self.finishing = asyncio.Event()
        self.superseded = False
        self.adapters: list[HeldAdapter] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` in this process."""
        context = copy_context()
        context.run(_PROCESS.set, self)
        return asyncio.get_running_loop().create_task(work, name=name, context=context)

    def own(self, task: asyncio.Task[Any]) -> None:
        self._tasks[task] = None
        task.add_done_callback(lambda ended: self._tasks.pop(ended, None))

    @property
    def is_dead(self) -> bool:
        return self.journal.faults.crashed

    async def die(self) -> None:
        """Nothing of it does anything any more.

        Raises:
            AssertionError: a task goes on for ever.
        """
        self.journal.faults.die()
        loop = asyncio.get_running_loop()
        stops_s = loop.time() + _STOPS_WITHIN_S
        while self._tasks:
            assert loop.time() < stops_s, f"{[task.get_name() for task in self._tasks]} outlive their process"
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(list(self._tasks), timeout=5.0)


class _NumberedTask(asyncio.Task[T]):
    """Lies in a set where the same seed put it the last time, and not where memory had room."""

    numbers = count()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._number = next(_NumberedTask.numbers)
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


def number_tasks_from_zero() -> None:
    _NumberedTask.numbers = count()


def task_factory(
    loop: asyncio.AbstractEventLoop, work: Generator[Any, None, T] | Coroutine[Any, Any, T], **options: Any
) -> asyncio.Task[T]:
    """Gives a new task to the process of the task that starts it."""
    task: asyncio.Task[T] = _NumberedTask(work, loop=loop, **options)
    context = options.get("context")
    process = _PROCESS.get() if context is None else context.get(_PROCESS)
    if process is not None:
        process.own(task)
    return task


class Socket:
    """An adapter as its process has it: it dies with it."""

    def __init__(self, process: Process, inner: HeldAdapter) -> None:
        self._require_life = process.journal.faults.require_life
        self._inner = inner
        process.adapters.append(inner)

    async def connect(self, request: ConnectRequest) -> Connection:
        self._require_life()
        return await self._inner.connect(request)

    async def send(self, frame: InputFrame) -> None:
        self._require_life()
        await self._inner.send(frame)

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        self._require_life()
        return await self._inner.receive(demand=demand)

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        self._require_life()
        await self._inner.interrupt(response_id, heard_ms=heard_ms)

    async def restart(self, request: ConnectRequest) -> Connection:
        self._require_life()
        return await self._inner.restart(request)

    async def close(self, reason: CloseReason) -> None:
        self._require_life()
        await self._inner.close(reason)
