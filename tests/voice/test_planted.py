"""The machine bites: every planted bug turns it red."""

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.errors import RealtimeError
from agentfield_rt.testing import NothingCanHappen, RuleBroken
from tests.voice.planted_model import PLANTED

SEARCH = settings(
    max_examples=3_000,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    verbosity=Verbosity.quiet,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_planted_bug_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, machine = PLANTED[wrong]
    plant(monkeypatch)
    with pytest.raises((RuleBroken, NothingCanHappen, RealtimeError)):
        run_state_machine_as_test(machine, settings=SEARCH)
