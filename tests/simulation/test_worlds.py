"""Worlds from seeds: no promise is broken in any, and everything worth seeing happens in some."""

from pathlib import Path

import pytest

from tests.simulation.campaign import Campaign
from tests.simulation.sometimes import OFTEN
from tests.simulation.world import simulate

SEEDS = range(13)
HOURS_EACH = 1.0
"""Four lines in each of thirteen worlds: more than fifty session-hours."""

REGRESSIONS = [
    line.split(maxsplit=2)
    for line in Path(__file__).with_name("regressions.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_no_world_breaks_a_promise_and_everything_worth_seeing_happens() -> None:
    campaign = Campaign()
    for seed in SEEDS:
        campaign.add(seed, simulate(seed, HOURS_EACH))
    assert campaign.session_hours >= 50
    assert not OFTEN - set(campaign.sometimes)


@pytest.mark.parametrize(("seed", "hours", "what"), REGRESSIONS)
def test_what_a_world_once_showed_does_not_come_back(seed: str, hours: str, what: str) -> None:
    assert simulate(int(seed), float(hours)).session_s, what


def test_a_seed_gives_the_same_world_again() -> None:
    for seed in (1, 4):
        assert simulate(seed, 0.2) == simulate(seed, 0.2)
