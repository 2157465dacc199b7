"""A server in a process of its own, and who watches it: its output, and a collector of OpenTelemetry's."""

import gzip
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from websockets.sync.client import ClientConnection, connect

from tests.plane.serving import NOBODY

ROOT = Path(__file__).parents[2]


@dataclass
class Watched:
    """A server that runs."""

    url: str
    process: subprocess.Popen[str]
    client: httpx.Client

    def start(self) -> str:
        """Start a session and return its path."""
        answer = self.client.post("/api/v1/session-targets/desk.phone/start")
        assert answer.status_code == 201, answer.text
        return f"/api/v1/session-instances/{answer.json()['session_id']}"

    @contextmanager
    def call(self, session: str) -> Generator[ClientConnection]:
        """Be the caller of a session."""
        with connect(f"{self.url.replace('http', 'ws', 1)}{session}/media") as media:
            media.recv(20)
            yield media

    def execute(self, target: str, **arguments: Any) -> str:
        """Submit an execution and return its id."""
        answer = self.client.post(f"/api/v1/execute/async/{target}", json={"input": arguments})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution_id"])

    def finished(self, execution_id: str) -> dict[str, Any]:
        """An execution once it is over."""
        while True:
            found: dict[str, Any] = self.client.get(f"/api/v1/executions/{execution_id}").json()
            if found["status"] not in ("queued", "running"):
                return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        """Its exit code, and what it wrote to stdout and stderr since it was ready."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextmanager
def watched(data: Path, **variables: str) -> Generator[Watched]:
    """A server with these variables; killed at the end if it still runs."""
    ours = ("AGENTFIELD_", "OPENAI_", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.operation.observed_server", str(data)],
        cwd=ROOT,
        env=kept | {"AGENTFIELD_RT_LOCAL_URL": NOBODY} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        with httpx.Client(base_url=found.group(), timeout=20) as client:
            yield Watched(found.group(), process, client)
    finally:
        process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate(timeout=20)


@dataclass
class Span:
    """A span as it was exported."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: list[str]
    links: list[tuple[str, str]]
    took_s: float


@dataclass
class Collector:
    """What was sent, in OpenTelemetry's own messages."""

    url: str
    traces: list[ExportTraceServiceRequest] = field(default_factory=list[ExportTraceServiceRequest])
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list[ExportMetricsServiceRequest])
    raw: list[bytes] = field(default_factory=list[bytes])

    def spans(self) -> list[Span]:
        """Every span of ours."""
        return [
            Span(
                name=span.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                attributes={each.key: _plain(each.value) for each in span.attributes},
                events=[event.name for event in span.events],
                links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                took_s=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            )
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def measured(self) -> dict[str, str]:
        """The kind of every metric, by its name."""
        return {
            metric.name: str(metric.WhichOneof("data"))
            for request in self.metrics
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def resource(self) -> dict[str, Any]:
        """What the server said of itself."""
        (resource,) = self.traces[0].resource_spans
        return {each.key: _plain(each.value) for each in resource.resource.attributes}


def _plain(value: AnyValue) -> Any:
    return getattr(value, str(value.WhichOneof("value")))


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.raw.append(body)
            if self.path == "/v1/traces":
                collector.traces.append(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/metrics":
                collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
