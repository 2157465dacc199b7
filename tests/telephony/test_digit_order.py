"""Digits that overtake one another on their way are taken in the order in which they were pressed."""

# pyright: reportPrivateUsage=false

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_rt.plane.telephony import digits as telephony_digits
from agentfield_rt.plane.telephony.digits import HELD_S, DigitOrder
from tests.planting import property_search
from tests.virtual_time import in_virtual_time, time_passes

KEYS = "0123456789*#"
PRESSES = st.lists(
    st.tuples(st.sampled_from(KEYS), st.floats(0.03, 2), st.floats(0, HELD_S * 0.95)), max_size=12
)
"""A key, how long after the one before it was pressed, and how long its news is on its way."""


async def overtaking(presses: list[tuple[str, float, float]]) -> None:
    taken = ""

    def take(digit: str) -> None:
        nonlocal taken
        taken += digit

    order, now_s = DigitOrder(take), asyncio.get_running_loop().time()
    news: list[tuple[float, float, str]] = []
    pressed_at_s = 0.0
    for digit, after_s, lag_s in presses:
        pressed_at_s += after_s
        news.append((pressed_at_s + lag_s, pressed_at_s, digit))
    so_far_s = 0.0
    for comes_at_s, pressed_at_s, digit in sorted(news):
        await time_passes(comes_at_s - so_far_s)
        so_far_s = comes_at_s
        order.put(digit, now_s + pressed_at_s)
    await time_passes(HELD_S + 0.01)
    assert taken == "".join(digit for digit, _, _ in presses)


@settings(max_examples=100, deadline=None)
@given(PRESSES)
def test_digits_are_taken_in_the_order_in_which_they_were_pressed(
    presses: list[tuple[str, float, float]],
) -> None:
    in_virtual_time(overtaking)(presses)


@in_virtual_time
async def test_a_digit_without_a_time_is_taken_at_once_and_the_end_gives_what_is_held() -> None:
    taken: list[str] = []
    order = DigitOrder(taken.append)
    order.put("1", None)
    assert taken == ["1"]
    order.put("3", 2.0)
    order.put("2", 1.0)
    order.close()
    assert taken == ["1", "2", "3"]
    await time_passes(HELD_S * 2)
    assert taken == ["1", "2", "3"]


def as_they_come(self: DigitOrder, digit: str, pressed_at_s: float | None) -> None:
    self._take(digit)


@pytest.mark.parametrize(
    ("where", "name", "wrong"),
    [(DigitOrder, "put", as_they_come), (telephony_digits, "HELD_S", HELD_S / 4)],
    ids=["as they come", "too soon"],
)
def test_a_planted_bug_turns_the_order_red(
    where: object, name: str, wrong: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        property_search(in_virtual_time(overtaking), PRESSES)()
