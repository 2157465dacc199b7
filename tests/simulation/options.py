"""What kind of world a seed gives: where its records are, who calls, and how often what goes wrong."""

import random
from dataclasses import asdict, dataclass, field
from typing import Literal

from agentfield_rt.core.records import GatePolicy

Storage = Literal["memory", "disk"]
DISK_EVERY = 5
"""One seed in so many keeps its records in SQLite over the simulated disk."""

FATES = ("late", "fail", "doubt", "lose", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A world, as its seed expands to it.

    Attributes:
        storage: `memory` commits after a delay; `disk` is SQLite over the simulated disk, with power cuts.
        commit_max_s: How long a commit takes at most.
        fates: What becomes of an adapter call, by how often it does.
        drops_per_hour, journal_faults_per_hour, full_per_hour, clock_jumps_per_hour: Of each line, or of the
            whole world, in its safety phase.
        process_s: How long a process lives, on average.
        ends: How a process ends: it is killed, the power is cut, or another one takes over while it lives.
    """

    seed: int
    storage: Storage
    commit_max_s: float
    bare_lines: int = 2
    call_lines: int = 2
    policy: GatePolicy = GatePolicy.GATE
    high_water: int = 512
    fates: dict[str, float] = field(default_factory=dict[str, float])
    drops_per_hour: float
    journal_faults_per_hour: float
    full_per_hour: float
    clock_jumps_per_hour: float
    handler_raises: float
    process_s: float
    ends: tuple[str, ...]

    @property
    def low_water(self) -> int:
        return self.high_water // 2

    def __str__(self) -> str:
        return "\n".join(f"  {name} = {value}" for name, value in asdict(self).items())


def options_of(seed: int) -> Options:
    """The world of this seed."""
    chance = random.Random(f"options {seed}")
    storage: Storage = "disk" if seed % DISK_EVERY == DISK_EVERY - 1 else "memory"
    wild = chance.random()  # some worlds are calm, and what is rare in them is not hidden by what is not

    def rate(highest: float) -> float:
        return round(highest * wild * chance.random(), 4)

    return Options(
        seed=seed,
        storage=storage,
        commit_max_s=chance.choice([0.0, 0.005, 0.05, 0.5]),
        policy=chance.choice(list(GatePolicy)),
        high_water=chance.choice([2, 4, 512]),
        fates={fate: rate(0.03) for fate in FATES},
        drops_per_hour=rate(60),
        journal_faults_per_hour=rate(60),
        full_per_hour=rate(30),
        clock_jumps_per_hour=rate(30),
        handler_raises=rate(0.2),
        process_s=chance.choice([300.0, 900.0, 1800.0]),
        ends=("power", "kill") if storage == "disk" else ("kill", "takeover"),
    )
