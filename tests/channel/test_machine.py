"""No turn is lost, none is answered twice, whatever becomes of wires and processes. The machine bites."""

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.testing import NothingCanHappen
from tests.channel.machine import Broken, ChannelMachine
from tests.channel.planted import PLANTED

LOOK = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
SEARCH = settings(
    LOOK,
    max_examples=500,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    verbosity=Verbosity.quiet,
)


def test_no_turn_is_lost_and_none_is_answered_twice() -> None:
    run_state_machine_as_test(ChannelMachine, settings=LOOK)


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_planted_bug_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[wrong](monkeypatch)
    with pytest.raises((Broken, NothingCanHappen)):
        run_state_machine_as_test(ChannelMachine, settings=SEARCH)
