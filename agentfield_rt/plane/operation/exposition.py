"""Measurements as Prometheus fetches them: its text format, or OpenMetrics for whoever asks for it."""

from collections.abc import Callable
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from agentfield_rt.plane.operation.instruments import INSTRUMENTS, Instrument, Kind
from agentfield_rt.plane.operation.meters import Reading


class PrometheusMeter:
    """A `Meter` with a registry of its own: a host's global one stays the host's."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._adders: dict[tuple[str, tuple[str, ...]], Callable[[float], None]] = {}
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._counters = {each.name: self._counter(each) for each in INSTRUMENTS if each.kind is Kind.COUNTER}
        self._histograms = {
            each.name: self._histogram(each) for each in INSTRUMENTS if each.kind is Kind.HISTOGRAM
        }
        self._gauges = {each.name: self._gauge(each) for each in INSTRUMENTS if each.kind is Kind.GAUGE}

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        """See `Meter.record`."""
        add = self._adders.get((instrument.name, labels))
        if add is None:
            add = self._adders[instrument.name, labels] = self._adder(instrument, labels)
        add(value)

    def _adder(self, instrument: Instrument, labels: tuple[str, ...]) -> Callable[[float], None]:
        """What adds to one series; finding it again costs more than adding."""
        if instrument.kind is Kind.COUNTER:
            counter = self._counters[instrument.name]
            return (counter.labels(*labels) if labels else counter).inc
        histogram = self._histograms[instrument.name]
        return (histogram.labels(*labels) if labels else histogram).observe

    def watch(self, instrument: Instrument, reading: Reading) -> None:
        """See `Meter.watch`."""
        self._gauges[instrument.name].set_function(reading)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All measurements and their media type, in the best form that `accept`, a header, allows."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def _counter(self, instrument: Instrument) -> Counter:
        return Counter(*_described(instrument), registry=self._registry)

    def _histogram(self, instrument: Instrument) -> Histogram:
        make = partial(Histogram, buckets=instrument.buckets, registry=self._registry)
        return make(*_described(instrument))

    def _gauge(self, instrument: Instrument) -> Gauge:
        return Gauge(*_described(instrument), registry=self._registry)


def _described(instrument: Instrument) -> tuple[str, str, tuple[str, ...]]:
    labels = tuple(label.replace(".", "_") for label in instrument.labels)
    return instrument.exposed_as, instrument.description, labels
