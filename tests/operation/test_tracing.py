"""One trace: a caller's request, the execution it submits, and what an agent elsewhere calls for it."""

import json
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentfield_rt.config import Settings
from agentfield_rt.plane.operation.telemetry import Telemetry
from tests.nodes.agents import registration
from tests.operation.watching import Collector, Span, Watched, collecting, watched

CALLER_TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN = "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01", "tracestate": "vendor=value"}
UNSAMPLED = "3" * 32
SUBMIT = "POST /api/v1/execute/async/{target}"


@dataclass
class Seen:
    """What the collector got, and what an agent was sent."""

    collector: Collector
    session_id: str = ""
    to_agent: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def span(self, name: str) -> Span:
        """The one span of this name."""
        (found,) = [span for span in self.collector.spans() if span.name == name]
        return found

    def below(self, parent: Span) -> list[Span]:
        return [span for span in self.collector.spans() if span.parent_id == parent.span_id]


@contextmanager
def agent(server: Watched, heard: list[dict[str, str]]) -> Generator[str]:
    """An agent elsewhere: its skill `add` calls `desk.double` twice, first as one who traces itself, then as
    one who does not and names its execution."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            given = {name.lower(): value for name, value in self.headers.items()}
            heard.append(given)
            traced = {"traceparent": given["traceparent"]} if "traceparent" in given else {}
            for headers in (traced, {"X-Parent-Execution-ID": given["x-execution-id"]}):
                body = {"input": {"number": 2}}
                answer = server.client.post("/api/v1/execute/async/desk.double", json=body, headers=headers)
                server.finished(answer.json()["execution_id"])
            result = json.dumps({"sum": 4}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(result)))
            self.end_headers()
            self.wfile.write(result)

        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Generator[Seen]:
    with (
        collecting() as collector,
        watched(tmp_path_factory.mktemp("data"), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as server,
    ):
        it = Seen(collector)
        with agent(server, it.to_agent) as address:
            server.client.post("/api/v1/nodes/register", json=registration(address)).raise_for_status()
            server.client.post("/api/v1/nodes/worker/heartbeat", json={"status": "ready"})
            for headers in (CALLER, {"traceparent": f"00-{UNSAMPLED}-{CALLER_SPAN}-00"}):
                answer = server.client.post("/api/v1/execute/async/worker.add", json={}, headers=headers)
                assert server.finished(answer.json()["execution_id"])["status"] == "succeeded"
        server.client.get("/health")
        server.client.get("/api/v1/memory/events/history?api_key=not-for-others&scope_id=nobody-s")
        it.session_id = server.start().rpartition("/")[2]
        server.signal(signal.SIGINT)
        code, _, err = server.ended()
        assert code == 0, err
    yield it


def test_a_request_its_execution_and_what_an_agent_calls_for_it_are_one_trace_of_the_caller_s(
    seen: Seen,
) -> None:
    outer = seen.span("execution worker.add")
    (request,) = [span for span in seen.collector.spans() if span.span_id == outer.parent_id]
    assert (request.name, request.parent_id, request.trace_id) == (SUBMIT, CALLER_SPAN, CALLER_TRACE)
    assert request.attributes["http.response.status_code"] == 202
    assert outer.trace_id == CALLER_TRACE
    calls = seen.below(outer)
    assert [span.name for span in calls] == [SUBMIT, SUBMIT]
    for call in calls:
        (nested,) = seen.below(call)
        assert (nested.name, nested.trace_id) == ("execution desk.double", CALLER_TRACE)


def test_an_agent_is_told_which_span_its_work_is_part_of(seen: Seen) -> None:
    outer = seen.span("execution worker.add")
    assert seen.to_agent[0]["traceparent"] == f"00-{CALLER_TRACE}-{outer.span_id}-01"
    assert seen.to_agent[0]["tracestate"] == "vendor=value"


def test_what_a_caller_does_not_sample_is_not_sampled_at_any_of_its_places(seen: Seen) -> None:
    assert seen.to_agent[1]["traceparent"].startswith(f"00-{UNSAMPLED}-")
    assert seen.to_agent[1]["traceparent"].endswith("-00")
    assert UNSAMPLED not in {span.trace_id for span in seen.collector.spans()}


def test_a_session_s_trace_is_its_own_and_names_the_request_that_began_it(seen: Seen) -> None:
    request = seen.span("POST /api/v1/session-targets/{target}/start")
    session = seen.span("session desk.phone")
    assert session.parent_id == ""
    assert session.links == [(request.trace_id, request.span_id)]


def test_no_address_is_in_a_span_and_nobody_s_probes_are(seen: Seen) -> None:
    asked = seen.span("GET /api/v1/memory/events/history")
    assert asked.attributes.keys() == {
        "agentfield.request.id",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "url.scheme",
    }
    assert not [raw for raw in seen.collector.raw if b"not-for-others" in raw or b"nobody-s" in raw]
    assert "GET /health" not in {span.name for span in seen.collector.spans()}


def test_without_a_tracer_a_request_and_an_execution_cost_nothing() -> None:
    telemetry = Telemetry(Settings())
    assert telemetry.request_spans is None
    assert telemetry.within is nullcontext
