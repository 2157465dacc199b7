"""How much may flow before a further intent is durable."""

from hypothesis import given
from hypothesis import strategies as st

from agentfield_journal.envelope import Cursor
from agentfield_rt.controller.window import Allowance


def cursor(seq: int) -> Cursor:
    return Cursor("run", seq)


def test_the_intent_that_is_waited_for_is_the_one_written_half_a_window_ago() -> None:
    allowance = Allowance(200)
    allowance.spend(100)
    allowance.promise(cursor(1))
    allowance.spend(100)
    allowance.promise(cursor(2))  # written with the last frame that was allowed: hardly durable yet
    assert (allowance.left, allowance.promised) == (0, cursor(1))
    allowance.keep(cursor(1))
    assert (allowance.left, allowance.promised) == (100, cursor(2))


def test_an_intent_that_two_wait_for_is_kept_once() -> None:
    allowance = Allowance(200)
    allowance.spend(100)
    allowance.promise(cursor(1))
    for _ in range(2):
        allowance.keep(cursor(1))
    assert (allowance.left, allowance.promised) == (200, None)


@given(st.lists(st.integers(min_value=1, max_value=4), max_size=40))
def test_never_more_flows_than_the_durable_intents_announced(runs: list[int]) -> None:
    size, flowed, limit = 8, 0, 8
    allowance = Allowance(size)
    limits: dict[Cursor, int] = {}
    for number, frames in enumerate(runs, start=1):
        while allowance.left < frames:
            promised = allowance.promised
            assert promised is not None
            limit = limits[promised]
            allowance.keep(promised)
        allowance.spend(frames)
        flowed += frames
        assert flowed <= limit
        limits[cursor(number)] = flowed + size
        allowance.promise(cursor(number))
