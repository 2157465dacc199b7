"""The runtime in a small world with faults: calls, controllers, one journal, processes that die. By seed.

A safety phase, in which anything may happen, then a liveness phase: faults stop, and everything must end.
The auditor judges the journal, what is outside remembers what happened there.
"""

import asyncio
import logging
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from agentfield_rt.testing import Acts, Crashed, HeldAdapter
from agentfield_rt.testing.fault_journal import Where
from agentfield_rt.testing.virtual_time import VirtualTimeLoop, run, time_passes
from tests.simulation.bare import BareLine
from tests.simulation.calls import CallLine
from tests.simulation.checker import check
from tests.simulation.lines import Line
from tests.simulation.options import Options, options_of
from tests.simulation.process import Process, number_tasks_from_zero, task_factory
from tests.simulation.storage import Memory, ProcessJournal, SimulatedDisk, Storage

SETTLE_S = 900.0
DAY_NS = 86_400 * 10**9
WHERE: tuple[Where, ...] = ("append", "durable")


class WallClock:
    """Jumps, also backwards, and stands still: nothing may depend on it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._now = loop.time_ns
        self._offset_ns = 0
        self._stands_at_ns: int | None = None

    def __call__(self) -> int:
        return self._now() + self._offset_ns if self._stands_at_ns is None else self._stands_at_ns

    def jump(self, chance: random.Random) -> None:
        now_ns = self()
        self._stands_at_ns = now_ns if chance.random() < 0.2 else None
        self._offset_ns = chance.randint(-DAY_NS, DAY_NS)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a world had to show.

    Attributes:
        sometimes: What happened, how often.
        session_s: How long its sessions lived, together.
    """

    sometimes: Counter[str]
    session_s: float


class World:
    """Lines over one storage. Every choice comes from the seed."""

    def __init__(self, options: Options, hours: float, folder: Path) -> None:
        self.options = options
        self.chance = random.Random(f"world {options.seed}")
        self.ends_s = hours * 3600
        self.sometimes: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.lines: list[Line] = [
            *(BareLine(number, options) for number in range(options.bare_lines)),
            *(CallLine(number, options) for number in range(options.call_lines)),
        ]
        self.storage: Storage = (
            Memory() if options.storage == "memory" else SimulatedDisk(folder, self.chance, self.note)
        )

    def note(self, what: str) -> None:
        self.sometimes[what] += 1

    async def live(self) -> Seen:
        """Both phases.

        Raises:
            AssertionError: a promise was broken, or something does not end.
        """
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.set_exception_handler(self._complain)
        loop.set_task_factory(task_factory)
        self.clock = WallClock(loop)
        try:
            process, living = self._start()
            while loop.time() < self.ends_s:
                left_s = self.ends_s - loop.time()
                process, living = await self._until_it_dies(process, living, left_s)
            self.sometimes += await self._end(process, living)
        finally:
            self.storage.close()
        assert not self.complaints, self.complaints
        return Seen(self.sometimes, sum(line.session_s for line in self.lines))

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), Crashed):  # timers of a dead process find it dead
            self.complaints.append(str(context))

    def _start(self) -> tuple[Process, list[asyncio.Task[Any]]]:
        """A process, in which every line lives."""
        journal = ProcessJournal(
            self.storage, delay_s=lambda: self.chance.random() * self.options.commit_max_s, note=self.note
        )
        process = Process(journal, self.chance, clock=self.clock, note=self.note)
        work: list[Coroutine[Any, Any, None]] = [line.live(process) for line in self.lines]
        return process, [process.spawn(each, line.name) for each, line in zip(work, self.lines, strict=True)]

    async def _until_it_dies(
        self, process: Process, living: list[asyncio.Task[Any]], left_s: float
    ) -> tuple[Process, list[asyncio.Task[Any]]]:
        """A process lives its time and is followed by the next one."""
        chaos = asyncio.create_task(self._chaos(process))
        try:
            lives_s = self.chance.expovariate(1 / self.options.process_s)
            await self._watch(process, living, min(lives_s, left_s))
            if lives_s > left_s:
                return process, living
            how = self.chance.choice(self.options.ends)
            self.note({"kill": "a process died", "power": "power cut", "takeover": "takeover"}[how])
            if how == "takeover" and not process.journal.has_failed:
                return await self._take_over(process, living)
            await self._bring_down(process, living, how)
        finally:
            chaos.cancel()
            await asyncio.wait([chaos])
        return self._start()

    async def _watch(self, process: Process, living: list[asyncio.Task[Any]], seconds: float) -> None:
        """Let time pass. A line that ends by itself has broken something, unless its process is dead."""
        done, _ = await asyncio.wait(living, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        if not process.is_dead:
            for task in done:
                task.result()

    async def _bring_down(self, process: Process, living: list[asyncio.Task[Any]], how: str) -> None:
        """In the middle of whatever it does: of an append, a sync, or at no particular time."""
        if how == "power":
            self.storage.arm(process.journal.faults.die)
        elif self.chance.random() < 0.7:
            process.journal.faults.crash(
                self.chance.choice(WHERE), nth=self.chance.randint(1, 5), stored=False
            )
        await self._watch(process, living, self.chance.uniform(0, 60))
        await process.die()
        if how == "power":
            self.storage.cut_power()
        else:
            self.storage.kill()

    async def _take_over(
        self, old: Process, living: list[asyncio.Task[Any]]
    ) -> tuple[Process, list[asyncio.Task[Any]]]:
        """The old process is alive, and does not know; the store lets it do nothing any more."""
        old.superseded = True
        process, lines = self._start()
        await asyncio.wait(living, timeout=SETTLE_S)
        unaware = [task.get_name() for task in living if not task.done()]
        assert not unaware, f"{unaware} of a stale owner never learn that it is one"
        for task in living:
            task.result()
        still_open = [adapter.calls for adapter in old.adapters if _is_open(adapter)]
        assert not still_open, f"a stale owner keeps its provider connection open: {still_open}"
        await old.die()
        return process, lines

    async def _chaos(self, process: Process) -> None:
        options, chance = self.options, self.chance
        rates = {
            "fault": options.journal_faults_per_hour,
            "full": options.full_per_hour,
            "jump": options.clock_jumps_per_hour,
        }
        total = sum(rates.values())
        while total:
            await time_passes(chance.expovariate(total / 3600))
            match chance.choices(list(rates), list(rates.values()))[0]:
                case "fault":
                    where = chance.choice(WHERE)
                    process.journal.faults.fail(where, stored=where == "durable" and chance.random() < 0.5)
                case "full":
                    await self._be_full(chance.uniform(0.1, 20))
                case _:
                    self.clock.jump(chance)
                    self.note("the clock jumped")

    async def _be_full(self, seconds: float) -> None:
        """The disk has room for closing records only."""
        store: Any = self.storage.store
        store.full = True
        try:
            await time_passes(seconds)
        finally:
            store.full = False

    async def _end(self, process: Process, living: list[asyncio.Task[Any]]) -> Counter[str]:
        """No more faults: every line ends, and what is left behind is sound."""
        for line in self.lines:
            line.be_calm()
        if process.is_dead or process.journal.has_failed:
            await process.die()
            self.storage.kill()
            process, living = self._start()
        process.journal.faults.clear()
        for adapter in process.adapters:
            adapter.forget_holds()
        process.finishing.set()
        await asyncio.wait(living, timeout=SETTLE_S)
        stuck = [task.get_name() for task in living if not task.done()]
        assert not stuck, f"{stuck} do not end"
        for task in living:
            task.result()
        still_open = [adapter.calls for adapter in process.adapters if _is_open(adapter)]
        assert not still_open, f"a session is over, and its provider connection is open: {still_open}"
        await process.die()
        await self._nothing_is_left()
        reader = ProcessJournal(self.storage, delay_s=lambda: 0.0, note=self.note)
        seen = await check(reader, (book for line in self.lines for book in line.books))
        await reader.close()
        return seen

    async def _nothing_is_left(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"{sorted(task.get_name() for task in left)} outlive everything"


def _is_open(adapter: HeldAdapter) -> bool:
    """Whether there is a connection that nobody has tried to hang up. What comes of it is the provider's."""
    opened = [call.acts is not Acts.NO for call in adapter.calls if call.method in ("connect", "restart")]
    asked = any(call.method == "close" for call in adapter.calls)
    return any(opened) and not asked


@contextmanager
def _quietly() -> Generator[None]:
    """What the runtime logs of the faults is as it must be, and nobody reads it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _all_chance_from(seed: int) -> Generator[None]:
    """Also ids and back-off come from the seed, and where tasks lie in sets."""
    before = random.getstate()
    random.seed(seed)
    number_tasks_from_zero()

    def token_hex(size: int = 32) -> str:
        return f"{random.getrandbits(8 * size):0{2 * size}x}"

    try:
        with mock.patch.object(secrets, "token_hex", token_hex):
            yield
    finally:
        random.setstate(before)


def simulate(seed: int, hours: float, options: Options | None = None) -> Seen:
    """One world, from its seed.

    Args:
        options: Another kind of world than the seed stands for.

    Raises:
        AssertionError: with notes that say how to see it again, and what the seed stands for.
    """
    options = options or options_of(seed)

    async def live(folder: Path) -> Seen:
        return await World(options, hours, folder).live()

    try:
        with tempfile.TemporaryDirectory(prefix="simulation-") as folder, _all_chance_from(seed), _quietly():
            return run(live(Path(folder)), seed=seed, hours=hours + 24)
    except BaseException as error:
        error.add_note(f"to repeat it: python -m tests.simulation --seed {seed} --hours {hours:g}")
        error.add_note(f"the seed stands for\n{options}")
        raise
