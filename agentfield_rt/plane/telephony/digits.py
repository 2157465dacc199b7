"""Puts digits in the order in which they were pressed: a vendor may tell of two the other way round."""

import asyncio
import heapq
from collections.abc import Callable

HELD_S = 0.25
"""How long a digit waits for one that was pressed before it. Nobody presses two keys much faster."""


class DigitOrder:
    """The digits of one call.

    Args:
        take: Is given them in order.
    """

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._held: list[tuple[float, int, str]] = []
        self._total = 0

    def put(self, digit: str, pressed_at_s: float | None) -> None:
        """Take notice of a digit; one whose time the vendor does not tell is in its place already."""
        if pressed_at_s is None:
            self._take(digit)
            return
        self._total += 1
        heapq.heappush(self._held, (pressed_at_s, self._total, digit))
        asyncio.get_running_loop().call_later(HELD_S, self._give_until, pressed_at_s)

    def close(self) -> None:
        """No further digit comes: give what is held."""
        self._give_until(float("inf"))

    def _give_until(self, pressed_at_s: float) -> None:
        while self._held and self._held[0][0] <= pressed_at_s:
            self._take(heapq.heappop(self._held)[2])
