"""Traces and metrics sent with OpenTelemetry's protocol over HTTP, set up for a process that is ours.

A process of somebody else sets its own providers; what is observed here then goes to them.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from agentfield_rt import __version__
from agentfield_rt.plane.operation.open_spans import RUN_OF_NEW_TRACE

FLUSH_MAX_MS = 3_000
"""How long the last measurements may take to be sent when the process ends."""


def trace_id_of(run_id: str) -> int:
    """What nobody traced before is one trace for each run, also when another process goes on with it; so the
    trace's id follows from the run's."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16]) or 1


class RunTraceIds(RandomIdGenerator):
    """Random ids, but for the traces of runs."""

    def generate_trace_id(self) -> int:
        """See `IdGenerator`."""
        run_id = RUN_OF_NEW_TRACE.get()
        return super().generate_trace_id() if run_id is None else trace_id_of(run_id)


@asynccontextmanager
async def exporting(endpoint: str) -> AsyncGenerator[None]:
    """Send traces and metrics to `endpoint` while the block runs, and what is left after it.

    Sets the process's providers, which can be done once: where there are some, they stay.
    """
    resource = Resource.create({"service.name": "agentfield-rt", "service.version": __version__}).merge(
        Resource.create()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
    )
    tracers = TracerProvider(resource=resource, id_generator=RunTraceIds(), shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics"))
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    try:
        yield
    finally:
        await asyncio.to_thread(_shut_down, tracers, meters)


def _shut_down(tracers: TracerProvider, meters: MeterProvider) -> None:
    tracers.force_flush(FLUSH_MAX_MS)
    tracers.shutdown()
    meters.shutdown(FLUSH_MAX_MS)
