"""Hypothesis state machines run for as many steps as one likes, on several processors."""

import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from importlib import import_module
from itertools import count, islice
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

MACHINES = {
    machine: module
    for module, machines in {
        "tests.controller.machine": (
            "ControllerMachine", "WindowMachine", "BrokenJournalMachine", "BrokenJournalWindowMachine",
        ),
        "tests.controller.machine_referring": ("ReferringMachine",),
        "agentfield_rt.testing.machine": ("SessionMachine", "FaultySessionMachine"),
        "tests.voice.machine": ("VoiceMachine", "BrokenJournalVoiceMachine"),
        "tests.voice.model_machine": ("ModelMachine", "BrokenJournalModelMachine"),
        "tests.voice.test_ageing_machine": ("AgeingVoiceMachine",),
        "tests.channel.machine": ("ChannelMachine",),
        "tests.plane.executions.machine": ("ExecutionsMachine",),
    }.items()
    for machine in machines
}  # fmt: skip
"""Every machine of the tests, and where it is."""

EXAMPLES_AT_ONCE = 200
SEARCH = settings(
    max_examples=EXAMPLES_AT_ONCE,
    stateful_step_count=50,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def run_machine(name: str, steps: int, first_seed: int, jobs: int) -> tuple[int, list[str]]:
    """Let a machine take `steps`; returns how many it took, and what it said where it found a bug."""
    taken, broken, seeds = 0, list[str](), count(first_seed)
    with ProcessPoolExecutor(jobs) as pool:

        def begin(number: int) -> set[Future[tuple[int, str]]]:
            return {pool.submit(search, name, each) for each in islice(seeds, number)}

        under_way = begin(jobs)
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                more, told = future.result()
                taken += more
                broken += [told] if told else []
            if taken < steps and not broken:
                under_way |= begin(len(done))
    return taken, broken


def search(name: str, chance: int) -> tuple[int, str]:
    """The steps of one search, and what it found."""
    machine: Any = getattr(import_module(MACHINES[name]), name)
    taken = 0

    class Counted(machine):  # type: ignore[misc]
        @invariant()
        def count(self) -> None:
            """Checked after each step, and once before the first of them."""
            nonlocal taken
            taken += 1

    counted: type[RuleBasedStateMachine] = seed(chance)(Counted)
    try:
        run_state_machine_as_test(counted, settings=SEARCH)
    except Exception:
        return taken, f"seed {chance}: {traceback.format_exc()}"
    return taken - EXAMPLES_AT_ONCE, ""
