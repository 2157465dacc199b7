"""The public machine bites: it finds every planted bug of an adapter."""

import pytest

from agentfield_rt.testing.machine import SessionMachine
from agentfield_rt.testing.session_rig import Line, RuleBroken
from tests.planting import prove
from tests.testing.planted_adapters import PLANTED


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
        prove(Machine)
