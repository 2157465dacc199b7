"""Whatever overlaps, fails, is cancelled or dies: nothing arrives twice, each intent gets one outcome."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.deliveries.world import STEPS, Step, play


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(0, 2**32))
def test_nothing_arrives_twice_and_every_intent_gets_one_outcome(steps: list[Step], seed: int) -> None:
    play(steps, seed)
