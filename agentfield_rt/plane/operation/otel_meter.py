"""Measurements for OpenTelemetry: a `Meter` over its API, whoever set its provider."""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, MeterProvider, Observation

from agentfield_rt import __version__
from agentfield_rt.plane.operation.instruments import INSTRUMENTS, Instrument, Kind
from agentfield_rt.plane.operation.meters import Reading


class OtelMeter:
    """A `Meter`."""

    def __init__(self, provider: MeterProvider) -> None:
        self._meter = provider.get_meter("agentfield_rt", __version__)
        self._readings: dict[str, Reading] = {}
        self._instruments: dict[str, Counter | Histogram] = {}
        for each in INSTRUMENTS:
            match each.kind:
                case Kind.COUNTER:
                    self._instruments[each.name] = self._meter.create_counter(
                        each.name, each.unit, each.description
                    )
                case Kind.HISTOGRAM:
                    self._instruments[each.name] = self._meter.create_histogram(
                        each.name,
                        each.unit,
                        each.description,
                        explicit_bucket_boundaries_advisory=each.buckets,
                    )
                case Kind.GAUGE:
                    pass  # made when there is something to read

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        """See `Meter.record`."""
        attributes = {name: label for name, label in zip(instrument.labels, labels, strict=True) if label}
        match self._instruments[instrument.name]:
            case Counter() as counter:
                counter.add(value, attributes)
            case histogram:
                histogram.record(value, attributes)

    def watch(self, instrument: Instrument, reading: Reading) -> None:
        """See `Meter.watch`."""
        is_new = instrument.name not in self._readings
        self._readings[instrument.name] = reading
        if is_new:
            self._meter.create_observable_gauge(
                instrument.name, [self._observed(instrument.name)], instrument.unit, instrument.description
            )

    def _observed(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(self._readings[name]())

        return read
