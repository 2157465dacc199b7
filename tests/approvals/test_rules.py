"""Whatever overlaps, fails, is cancelled or dies: no tool without its durable approval, one answer each."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.approvals.world import STEPS, Step, play


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(0, 2**32))
def test_no_tool_runs_without_its_durable_approval_and_every_question_gets_one_answer(
    steps: list[Step], seed: int
) -> None:
    play(steps, seed)
