"""Crash at every append, wait for the disk and adapter call of the golden stories; then recover."""

import pytest

from agentfield_rt.testing import run
from tests.recovery.enumeration import Tally, die_everywhere
from tests.recovery.golden import GOLDEN
from tests.recovery.stage import Golden


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_wherever_a_process_dies_the_next_one_goes_on_and_nothing_happens_twice(golden: Golden) -> None:
    tally = Tally()
    run(die_everywhere(golden, tally))
    assert tally.crashes > 10


def test_wherever_the_process_that_recovers_dies_the_third_one_recovers() -> None:
    tally = Tally()
    for golden in GOLDEN:
        run(die_everywhere(golden, tally, again=True))
    assert len(tally.situations) > 50
