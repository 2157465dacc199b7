"""Where records are in a NATS stream, as far as was seen; bounded, for what is forgotten is found again."""

from bisect import bisect_left
from typing import Generic, TypeVar

ValueT = TypeVar("ValueT")

_RUNS_MAX = 4_096
_PLACES_MAX = 512  # of a run


class Recent(Generic[ValueT]):
    """A value for each of the runs used last."""

    def __init__(self) -> None:
        self._values: dict[str, ValueT] = {}

    def get(self, run_id: str) -> ValueT | None:
        value = self._values.pop(run_id, None)
        if value is not None:
            self._values[run_id] = value
        return value

    def put(self, run_id: str, value: ValueT) -> None:
        self._values.pop(run_id, None)
        self._values[run_id] = value
        if len(self._values) > _RUNS_MAX:
            del self._values[next(iter(self._values))]


class Places:
    """Of one run: the numbers in the stream of some of its messages, and the seq before each."""

    def __init__(self) -> None:
        self._seqs: list[int] = []
        self._numbers: list[int] = []

    def start(self, after: int) -> int:
        """The number of a message from which on record `after` and all later ones are found."""
        found = bisect_left(self._seqs, after)
        return self._numbers[found - 1] if found else 1

    def note(self, seq: int, number: int) -> None:
        """Message `number` begins after `seq`; what lies behind one that is known is not needed."""
        if self._numbers and number <= self._numbers[-1]:
            return
        self._seqs.append(seq)
        self._numbers.append(number)
        if len(self._numbers) > _PLACES_MAX:
            del self._seqs[1::2], self._numbers[1::2]
