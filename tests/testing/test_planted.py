"""The public machine bites: it finds every planted bug of an adapter."""

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.testing.machine import SessionMachine
from agentfield_rt.testing.session_rig import Line, RuleBroken
from tests.testing.planted_adapters import PLANTED

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


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_planted_bug_of_an_adapter_is_found(wrong: str) -> None:
    class Machine(SessionMachine):
        def make(self) -> Line:
            provider = PLANTED[wrong]()
            return Line(
                adapter=provider,
                say=provider.say,
                got=lambda: [frame.frame_id for frame in provider.got],
                drop=provider.drop,
            )

    with pytest.raises(RuleBroken):
        run_state_machine_as_test(Machine, settings=SEARCH)
