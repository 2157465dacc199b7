"""Where measurements go: to each of several meters, with a bound on how many values an attribute may have."""

from collections.abc import Callable, Sequence
from typing import Protocol

from agentfield_rt.plane.operation.instruments import OTHER, VALUES_MAX, Instrument

Reading = Callable[[], float]
"""What a gauge shows now. It may be asked from any thread, so it reads a number and no collection."""


class Meter(Protocol):
    """Keeps measurements, in whatever form somebody fetches or is sent them."""

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        """Add `value` to a counter or a histogram. `labels` are in the instrument's order; "" is none."""
        ...

    def watch(self, instrument: Instrument, reading: Reading) -> None:
        """Ask for a gauge's value whenever it is wanted; of one instrument, the last reading counts."""
        ...


class Meters:
    """All meters of a plane as one."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = tuple(meters)
        self._values: dict[str, set[str]] = {}
        self._known: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}

    def record(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Add `value`; a label's value that is one too many counts as `other`."""
        bounded = self._known.get((instrument.name, labels))
        if bounded is None:
            bounded = self._bound(instrument, labels)
        for meter in self._meters:
            meter.record(instrument, value, bounded)

    def watch(self, instrument: Instrument, reading: Reading) -> None:
        """See `Meter.watch`."""
        for meter in self._meters:
            meter.watch(instrument, reading)

    def _bound(self, instrument: Instrument, labels: tuple[str, ...]) -> tuple[str, ...]:
        bounded = tuple(map(self._bounded, instrument.labels, labels))
        if bounded == labels:  # as many as there may be values, so this is bounded, too
            self._known[instrument.name, labels] = bounded
        return bounded

    def _bounded(self, label: str, value: str) -> str:
        values = self._values.get(label)
        if values is None:
            values = self._values[label] = set()
        if value not in values:
            if len(values) >= VALUES_MAX:
                return OTHER
            values.add(value)
        return value
