"""How long to wait before a connection is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Doubling delays with full jitter; a connection that was of use is replaced at once.

    Attributes:
        first_s, most_s: The first delay, and the longest.
        stable_s: How long a connection must hold to count as a good one, whatever came over it.
        give_up_s: How long it is tried before the last failure stands.
        jitter: A number from 0 to 1: how much of a delay is waited. Calls that lost one provider together
            do not come back to it together.
    """

    first_s: float = 0.25
    most_s: float = 5.0
    stable_s: float = 10.0
    give_up_s: float = 20.0
    jitter: Callable[[], float] = random.random
    _failures: int = field(default=0, init=False)
    _connected_at_s: float | None = field(default=None, init=False)

    def connected(self, now_s: float) -> None:
        """There is a connection, since `now_s` (monotonic)."""
        self._connected_at_s = now_s

    def proved(self) -> None:
        """The connection did its work: its caller heard an answer over it."""
        self._failures = 0

    def delay_s(self, now_s: float) -> float:
        """How long to wait before the next try."""
        if self._connected_at_s is not None and now_s - self._connected_at_s >= self.stable_s:
            self._failures = 0
        self._connected_at_s = None
        failures, self._failures = self._failures, self._failures + 1
        if failures == 0:
            return 0.0
        longest = min(self.most_s, self.first_s * 2.0 ** (failures - 1))
        return longest * self.jitter()
