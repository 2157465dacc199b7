"""The controller under any overlap of calls, answers, losses and cancellations Hypothesis can think of."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.controller.machine import (
    BrokenJournalMachine,
    BrokenJournalWindowMachine,
    ControllerMachine,
    WindowMachine,
)
from tests.controller.machine_referring import ReferringMachine

STEPS_MIN = 10_000
SEARCH = settings(max_examples=320, stateful_step_count=50)  # most examples are shorter


@pytest.mark.timeout(600)  # a failure is made small before it is told
@pytest.mark.parametrize(
    "machine", [ControllerMachine, WindowMachine, BrokenJournalMachine, BrokenJournalWindowMachine]
)
def test_the_rules_hold_in_ten_thousand_steps_and_calls_overlap(
    machine: type[ControllerMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "steps_total", 0)
    monkeypatch.setattr(machine, "overlapping_total", 0)
    run_state_machine_as_test(machine, settings=SEARCH)
    assert machine.steps_total >= STEPS_MIN
    assert machine.overlapping_total >= STEPS_MIN // 10


def test_the_rules_hold_while_calls_are_handed_on() -> None:
    run_state_machine_as_test(ReferringMachine, settings=settings(SEARCH, max_examples=60))
