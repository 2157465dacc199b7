"""No turn is lost, none is answered twice, whatever becomes of wires and processes. The machine bites."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.testing import NothingCanHappen
from tests.channel.machine import Broken, ChannelMachine
from tests.channel.planted import PLANTED
from tests.planting import Bug

LOOK = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_no_turn_is_lost_and_none_is_answered_twice() -> None:
    run_state_machine_as_test(ChannelMachine, settings=LOOK)


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, Broken, NothingCanHappen)
