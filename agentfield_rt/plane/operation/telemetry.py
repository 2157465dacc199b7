"""What watches one plane, put together: metrics, spans and log lines from the records of its runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Protocol

from agentfield_rt import __version__
from agentfield_rt.config import Settings
from agentfield_rt.observe import Observation, Observer, Within
from agentfield_rt.plane.operation import instruments
from agentfield_rt.plane.operation.draining import Draining
from agentfield_rt.plane.operation.meters import Meter, Meters
from agentfield_rt.plane.operation.record_logs import log_record
from agentfield_rt.plane.operation.record_metrics import RecordMetrics

if TYPE_CHECKING:
    from agentfield_rt.plane.operation.exposition import PrometheusMeter
    from agentfield_rt.plane.operation.record_spans import RecordSpans
    from agentfield_rt.plane.operation.request_spans import RequestSpans

log = logging.getLogger(__name__)


class Work(Protocol):
    """How many executions there are; `Executions` is one."""

    @property
    def open_total(self) -> int: ...

    @property
    def waiting_total(self) -> int: ...


class Telemetry:
    """The one observer of a plane's runs.

    OpenTelemetry's providers are the process's: whoever wants traces has set them before this is made.

    Args:
        others: Whoever else is to be told of every record.

    Attributes:
        meters: Where else measurements of this plane go.
        metrics: What was counted of its records.
        request_spans: Begins the spans of requests, if somebody wants traces.
        within: Goes round the work of executions.
    """

    def __init__(self, settings: Settings, *, others: Sequence[Observer] = ()) -> None:
        self._prometheus = _prometheus_meter() if settings.metrics else None
        meters: list[Meter] = [] if self._prometheus is None else [self._prometheus]
        self._spans: RecordSpans | None = None
        self.request_spans: RequestSpans | None = None
        with suppress(ModuleNotFoundError):
            meters += _otel_meters()
            self._spans, self.request_spans = _otel_spans()
        self.meters = Meters(meters)
        self.metrics = RecordMetrics(self.meters)
        self._observers: list[Observer] = [*others, self.metrics, log_record]
        self.within: Within = nullcontext
        if self._spans is not None:
            self._observers.append(self._spans)
            self.within = self._spans.within

    def watch(self, executions: Work, draining: Draining) -> None:
        """Ask these for what the records of one process do not tell: an earlier one left work behind."""
        self.meters.watch(instruments.EXECUTIONS_OPEN, lambda: executions.open_total)
        self.meters.watch(instruments.EXECUTIONS_WAITING, lambda: executions.waiting_total)
        self.meters.watch(instruments.DRAINING, lambda: float(draining.has_begun))

    def observe(self, seen: Observation) -> None:
        """Tell every observer. One that fails is let go: a session must not end with what watches it."""
        for observer in self._observers:
            try:
                observer(seen)
            except Exception as error:
                self._observers = [other for other in self._observers if other is not observer]
                log.error("an observer of records failed, and sees no more: %s", type(error).__name__)

    def expose(self, accept: str) -> tuple[bytes, str] | None:
        """All metrics for Prometheus, and their media type; None if nobody can have them here."""
        return None if self._prometheus is None else self._prometheus.expose(accept)

    def close(self) -> None:
        """Nothing more is seen."""
        if self._spans is not None:
            self._spans.close()


def _prometheus_meter() -> PrometheusMeter | None:
    try:
        from agentfield_rt.plane.operation.exposition import PrometheusMeter
    except ModuleNotFoundError:
        return None
    return PrometheusMeter()


def _otel_meters() -> list[Meter]:
    """A meter over the provider that somebody set; none if nobody did."""
    from opentelemetry import metrics

    from agentfield_rt.plane.operation.otel_meter import OtelMeter

    provider = metrics.get_meter_provider()
    return [] if _is_nobody_s(provider) else [OtelMeter(provider)]


def _otel_spans() -> tuple[RecordSpans, RequestSpans] | tuple[None, None]:
    """Spans from the provider that somebody set; none if nobody did."""
    from opentelemetry import trace

    from agentfield_rt.plane.operation.record_spans import RecordSpans
    from agentfield_rt.plane.operation.request_spans import RequestSpans

    provider = trace.get_tracer_provider()
    if _is_nobody_s(provider):
        return None, None
    tracer = provider.get_tracer("agentfield_rt", __version__)
    spans = RecordSpans(tracer)
    return spans, RequestSpans(tracer, spans.execution)


def _is_nobody_s(provider: object) -> bool:
    """The API hands out stand-ins while no provider is set; it has no other way to ask."""
    return "Proxy" in type(provider).__name__ and type(provider).__module__.startswith("opentelemetry.")
