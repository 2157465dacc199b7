"""Clocks that jump, freeze and go back: sequence numbers order a run, time never does."""

import random
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from agentfield_journal import Envelope
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.audit import audit
from agentfield_rt.core.completion import SEALS
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.state import State
from agentfield_rt.ports import Clock
from agentfield_rt.run import realtime_records
from agentfield_rt.testing import FaultJournal, run
from tests.recovery.enumeration import RECOVERERS, Recoverer
from tests.recovery.golden import GOLDEN
from tests.recovery.process import RUN, SESSION, Death, Process, World
from tests.recovery.stage import Golden

NOW_NS = 1_767_225_600_000_000_000
DAY_NS = 86_400 * 10**9


def _jumping(seed: int) -> Clock:
    chance = random.Random(seed)
    return lambda: NOW_NS + chance.choice((-DAY_NS, 0, DAY_NS)) + chance.randrange(10**9)


def _backwards() -> Clock:
    ticks = count()
    return lambda: NOW_NS - next(ticks) * 10**9


CLOCKS: dict[str, Callable[[], Clock]] = {
    "jumps by a day": lambda: _jumping(1),
    "is frozen": lambda: lambda: NOW_NS,
    "goes back": _backwards,
    "is before the epoch": lambda: lambda: -DAY_NS,
}


async def _story(golden: Golden, clock: Clock | None, recoverer: Recoverer | None) -> list[Envelope]:
    """The records of a story that is told to its end, or whose process dies in the middle."""
    store, world = MemoryStore(), World()
    death = Death("end") if recoverer is None else Death("append", 8)
    process = Process(world, store, death, answer=golden.answer, clock=clock)

    async def told() -> None:
        await golden.tell(process)

    await process.live(told())
    if recoverer is not None:
        await recoverer(Process(world, store))
    return await FaultJournal(store).read(RUN)


def _verdict(envelopes: list[Envelope]) -> tuple[list[str], list[str], State]:
    """What the auditor and the fold make of a run. Operation ids are drawn by lot above the boundary."""
    findings = [f"{finding.seq}: {finding.code}" for finding in audit(envelopes).findings]
    state = replay(SESSION, realtime_records(envelopes, SESSION))
    return [envelope.kind for envelope in envelopes], findings, state


@pytest.mark.parametrize("wrong", CLOCKS)
@pytest.mark.parametrize("recoverer", [None, *RECOVERERS], ids=lambda r: getattr(r, "__name__", "told"))
def test_a_clock_that_is_wrong_changes_neither_the_story_nor_the_verdict(
    wrong: str, recoverer: Recoverer | None
) -> None:
    for golden in GOLDEN[:12]:
        right = _verdict(run(_story(golden, None, recoverer)))
        assert not right[1]
        assert _verdict(run(_story(golden, CLOCKS[wrong](), recoverer))) == right, golden.name


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_shuffled_times_change_no_verdict(golden: Golden) -> None:
    envelopes = run(_story(golden, None, None))
    assert envelopes[-1].kind in SEALS
    times = [envelope.at_ns for envelope in envelopes]
    random.Random(golden.name).shuffle(times)
    shuffled = [
        msgspec.structs.replace(envelope, at_ns=at_ns)
        for envelope, at_ns in zip(envelopes, times, strict=True)
    ]
    assert _verdict(shuffled) == _verdict(envelopes)
    broken = [envelope for envelope in envelopes if envelope.seq != len(envelopes) // 2]
    found = [f"{finding.seq}: {finding.code}" for finding in audit(broken).findings]
    still = [msgspec.structs.replace(envelope, at_ns=0) for envelope in broken]
    assert [f"{finding.seq}: {finding.code}" for finding in audit(still).findings] == found != []
