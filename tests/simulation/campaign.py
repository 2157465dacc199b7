"""Worlds one after the other, on several processors, until enough session-hours are simulated."""

import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, islice

from tests.simulation.world import Seen, simulate

REPORT_EVERY_S = 30.0


@dataclass(slots=True)
class Campaign:
    """What many worlds had to show.

    Attributes:
        broken: What a failing world said, with the command that repeats it, by seed.
    """

    worlds: int = 0
    session_hours: float = 0.0
    sometimes: Counter[str] = field(default_factory=Counter[str])
    broken: dict[int, str] = field(default_factory=dict[int, str])

    def add(self, seed: int, seen: Seen | str) -> None:
        self.worlds += 1
        if isinstance(seen, str):
            self.broken[seed] = seen
            sys.stdout.write(f"{seen}\n")
        else:
            self.session_hours += seen.session_s / 3600
            self.sometimes += seen.sometimes

    def __str__(self) -> str:
        broke = f"seeds {sorted(self.broken)} broke a promise" if self.broken else "nothing broken"
        return f"{self.session_hours:,.1f} session-hours in {self.worlds:,} worlds, {broke}"


def run_campaign(first_seed: int, hours: float, session_hours: float, jobs: int) -> Campaign:
    """Simulate worlds of `hours` each from `first_seed` on until they come to `session_hours`."""
    campaign, seeds, started_s = Campaign(), count(first_seed), time.monotonic()
    reported_s = started_s
    with ProcessPoolExecutor(jobs) as pool:

        def begin(number: int) -> Iterator[tuple[Future[Seen | str], int]]:
            return ((pool.submit(world, seed, hours), seed) for seed in islice(seeds, number))

        under_way = dict(begin(jobs * 2))
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                campaign.add(under_way.pop(future), future.result())
            if campaign.session_hours < session_hours:
                under_way |= begin(len(done))
            if time.monotonic() - reported_s > REPORT_EVERY_S:
                reported_s = time.monotonic()
                minutes = (reported_s - started_s) / 60
                rate = campaign.session_hours / minutes
                sys.stdout.write(f"{minutes:5.1f} min, {rate:,.0f} session-hours a minute: {campaign}\n")
                sys.stdout.flush()
    return campaign


def world(seed: int, hours: float) -> Seen | str:
    """One world; of a broken one, what it said."""
    try:
        return simulate(seed, hours)
    except Exception:
        return traceback.format_exc()
