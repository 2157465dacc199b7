"""The machine finds nothing, and finds the bugs that are planted for it."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.plane.executions.machine import ExecutionsMachine
from tests.plane.executions.planted import PLANTED
from tests.planting import Plant, noticed, prove

QUICK = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_nothing_accepted_is_lost_or_done_again() -> None:
    run_state_machine_as_test(ExecutionsMachine, settings=QUICK)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    with noticed(plant, monkeypatch):
        prove(ExecutionsMachine)
