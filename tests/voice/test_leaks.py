"""Nothing of a session outlives it: no task, no descriptor, no thread, no object of ours."""

import asyncio
import gc
import os
import threading
from collections import Counter

from tests.voice.scenarios import SCENARIOS


def test_a_thousand_sessions_leave_no_task_descriptor_thread_or_object_behind() -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.connects]

    def play(number: int) -> None:
        stage, _ = scenarios[number % len(scenarios)].begin()
        try:
            for _ in range(number % 40):
                stage.advance()
            stage.finish()
            assert asyncio.all_tasks(stage.loop) == set()
        finally:
            stage.dispose()

    def count() -> tuple[int, int, Counter[str]]:
        gc.collect()
        ours = Counter(
            type(thing).__qualname__
            for thing in gc.get_objects()
            # Some types have a descriptor in the place of their module's name.
            if str(type(thing).__module__).startswith(("agentfield_", "asyncio", "_asyncio", "tests.voice"))
        )
        return len(os.listdir("/proc/self/fd")), threading.active_count(), ours

    for number in range(2 * len(scenarios)):
        play(number)
    before = count()
    for number in range(1_000):
        play(number)
    after = count()
    # Fewer is no leak: threads of tests before this one may end meanwhile.
    assert all(now <= then for now, then in zip(after[:2], before[:2], strict=True)), (before[:2], after[:2])
    assert after[2] - before[2] == Counter()
