"""The machine bites: every planted bug turns it red."""

import gc
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.errors import ReplayMismatch
from tests.controller import planted, planted_flow, planted_referring
from tests.controller.planting import always
from tests.controller.rig import RuleBroken

PLANTED = planted.BUGS | planted_flow.BUGS | planted_referring.BUGS
SEARCH = settings(
    max_examples=1_000,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    verbosity=Verbosity.quiet,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A session that a bug left in the middle of a call is collected here, though its loop is gone."""
    monkeypatch.setattr(sys, "unraisablehook", always(None))
    yield
    gc.collect()


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_planted_bug_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, machine = PLANTED[wrong]
    plant(monkeypatch)
    with pytest.raises((RuleBroken, ReplayMismatch)):
        run_state_machine_as_test(machine, settings=SEARCH)
