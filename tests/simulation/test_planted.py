"""A bug in the store, in the runtime or outside of it turns a world red."""

from dataclasses import replace

import pytest

from agentfield_rt.errors import ReplayMismatch, RunIncomplete
from agentfield_rt.testing.virtual_time import NothingCanHappen, TimeIsUp
from tests.planting import Plant
from tests.simulation.options import options_of
from tests.simulation.planted import PLANTED
from tests.simulation.world import simulate

SEEDS = range(30)
RED = (AssertionError, ReplayMismatch, RunIncomplete, NothingCanHappen, TimeIsUp)
"""What a world says of a broken promise; anything else is a fault of the world."""


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_world_shows_what_was_planted(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(RED) as shown:  # the first world that breaks says how
        for seed in SEEDS:
            simulate(seed, 0.3, replace(options_of(seed), **PLANTED[plant]))
    assert any("to repeat it" in note for note in shown.value.__notes__)
