"""A real server, watched by all there is: log, metrics, traces. What was said is in none of them."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.operation.instruments import INSTRUMENTS, Kind
from agentfield_rt.plane.operation.otlp import trace_id_of
from tests.operation.watching import Collector, collecting, watched

parse_openmetrics: Callable[[str], Iterator[Metric]] = vars(openmetrics)["text_string_to_metric_families"]
"""It has no types."""

SAID = "my-secret-order-eight"
KEY = "sk-proj-0123456789abcdef"


@dataclass
class Seen:
    """What everybody saw of one call, one execution that failed, and a few requests."""

    session_id: str
    run_id: str
    exposed: str
    openmetrics: str
    collector: Collector
    lines: list[dict[str, Any]]
    out: str
    err: str

    @property
    def families(self) -> dict[str, Metric]:
        return {family.name: family for family in text_string_to_metric_families(self.exposed)}

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    data: Path = tmp_path_factory.mktemp("data")
    with (
        collecting() as collector,
        watched(
            data,
            AGENTFIELD_RT_LOG_FORMAT="json",
            AGENTFIELD_RT_LOG_LEVEL="info",
            AGENTFIELD_RT_TURN_SECRET=KEY,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_SERVICE_NAME="front-desk",
        ) as server,
    ):
        session = server.start()
        with server.call(session) as media:
            server.client.post(f"{session}/input", json={"text": SAID}, headers={"X-Request-ID": "mine.1"})
            while not isinstance(media.recv(20), bytes):
                pass
        assert server.finished(server.execute("desk.fails", secret=SAID))["status"] == "failed"
        server.client.get("/api/v1/made-up/path")
        exposed = server.client.get("/metrics").text
        openmetrics = server.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
        server.signal(signal.SIGTERM)
        code, out, err = server.ended()
    assert code == 0, err
    lines = [json.loads(line) for line in err.splitlines()]
    session_id = session.rpartition("/")[2]
    run_id = session_id.replace("sess_", "run_")
    yield Seen(session_id, run_id, exposed, openmetrics, collector, lines, out, err)


def test_what_was_said_and_every_key_are_in_no_log_metric_or_trace(seen: Seen) -> None:
    everything = [seen.err, seen.out, seen.exposed, *(raw.decode("latin-1") for raw in seen.collector.raw)]
    assert not [text for text in everything if SAID in text or KEY in text]


def test_a_line_for_each_request_has_its_id_and_its_route_as_declared(seen: Seen) -> None:
    requests = [line for line in seen.lines if line["logger"] == "agentfield_rt.requests"]
    typed = next(line for line in requests if line.get("request_id") == "mine.1")
    assert typed["method"] == "POST"
    assert typed["route"] == "/api/v1/session-instances/{session_id}/input"
    assert typed["status"] == 202
    assert typed["duration_ms"] > 0
    assert not [line for line in requests if seen.session_id in str(line["route"])]


def test_lines_of_a_session_name_it_and_the_request_that_began_it(seen: Seen) -> None:
    about = {line["kind"]: line for line in seen.lines if line.get("session_id") == seen.session_id}
    assert {"session_started", "realtime_connected", "session_ended"} <= about.keys()
    assert about["session_started"]["target"] == "desk.phone"
    assert about["session_started"]["request_id"].startswith("req_")
    assert about["session_ended"]["reason"] == "caller_gone"


def test_metrics_are_in_prometheus_form_and_all_of_the_list(seen: Seen) -> None:
    exposed = {instrument.exposed_as for instrument in INSTRUMENTS}
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in seen.families.values()
    }
    assert exposed <= families
    names = {family.name for family in parse_openmetrics(seen.openmetrics)}
    assert names >= {"agentfield_sessions_active", "gen_ai_client_token_usage"}


def test_a_call_is_counted_and_timed(seen: Seen) -> None:
    about = {"gen_ai_agent_name": "desk.phone", "gen_ai_provider_name": "local"}
    assert seen.value("agentfield_sessions_started_total", agentfield_transport="websocket", **about) == 1
    assert seen.value("agentfield_session_duration_seconds_count", **about) == 1
    assert seen.value("agentfield_sessions_active") == 0
    assert seen.value("agentfield_turn_time_to_first_audio_seconds_count", **about) == 1
    assert seen.value("gen_ai_client_operation_duration_seconds_count", gen_ai_operation_name="connect") == 1
    assert seen.value("agentfield_journal_records_total", agentfield_record_kind="session_ended") == 1
    assert seen.value("agentfield_execution_duration_seconds_count", agentfield_status="failed") == 1
    assert seen.value("agentfield_executions_open") == 0


def test_addresses_that_somebody_made_up_are_one_route(seen: Seen) -> None:
    routes = {
        sample.labels["http_route"]
        for sample in seen.families["http_server_request_duration_seconds"].samples
        if "http_route" in sample.labels
    }
    assert not [route for route in routes if "made-up" in route or seen.session_id in route]
    assert "/api/v1/execute/async/{target}" in routes  # a plain route is not taken for the page's files
    assert routes <= {
        *create_app().openapi()["paths"],
        "/{file}",
        "other",
    }  # whole, as the API's document has them


def test_traces_have_a_session_s_turn_its_answer_and_what_it_called(seen: Seen) -> None:
    spans = {span.name: span for span in seen.collector.spans()}
    session, turn = spans["session desk.phone"], spans["invoke_agent desk.phone"]
    resolve, double = spans["execution desk.resolve"], spans["execution desk.double"]
    assert turn.parent_id == session.span_id
    assert resolve.parent_id == turn.span_id
    assert double.parent_id == resolve.span_id
    assert spans["chat"].parent_id == turn.span_id
    assert "agentfield.first_audio" in spans["chat"].events
    assert spans["provider connect"].parent_id == session.span_id
    assert session.attributes["gen_ai.conversation.id"] == seen.session_id
    assert turn.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert turn.attributes["gen_ai.provider.name"] == "local"
    assert spans["execution desk.fails"].attributes["error.type"]


def test_a_run_is_one_trace_whose_id_follows_from_the_run_s(seen: Seen) -> None:
    of_run = [s for s in seen.collector.spans() if s.attributes.get("agentfield.run.id") == seen.run_id]
    assert len(of_run) > 4
    assert {span.trace_id for span in of_run} == {f"{trace_id_of(seen.run_id):032x}"}


def test_metrics_are_sent_as_well_under_opentelemetry_s_names(seen: Seen) -> None:
    measured = seen.collector.measured()
    kinds = {Kind.HISTOGRAM: "histogram", Kind.COUNTER: "sum", Kind.GAUGE: "gauge"}
    names = {instrument.name: kinds[instrument.kind] for instrument in INSTRUMENTS}
    assert measured.items() <= names.items()
    assert {"gen_ai.client.operation.duration", "agentfield.sessions.active"} <= measured.keys()
    assert seen.collector.resource()["service.name"] == "front-desk"
