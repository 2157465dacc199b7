"""Metrics stay few whatever callers make up, and what watches a session does not end it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentfield_rt.config import Settings
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.observe import Observation
from agentfield_rt.plane.operation.exposition import PrometheusMeter
from agentfield_rt.plane.operation.instruments import INSTRUMENTS, OTHER, VALUES_MAX
from agentfield_rt.plane.operation.meters import Meters
from agentfield_rt.plane.operation.record_metrics import RecordMetrics
from agentfield_rt.plane.operation.telemetry import Telemetry


def seen(record: Record, *, at_s: float = 0, session: str = "sess_1") -> Observation:
    run_id = session.replace("sess_", "run_")
    return Observation(run_id=run_id, record=record, at_ns=int(at_s * 1e9), session_id=session)


def started(target: str = "desk.phone", model: str = "a-model") -> records.SessionStarted:
    return records.SessionStarted(target=target, provider="openai", transport="websocket", model=model)


def samples(meter: PrometheusMeter) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = meter.expose("")[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_names_that_callers_make_up_are_one_value_from_the_hundredth_on() -> None:
    meter = PrometheusMeter()
    metrics = RecordMetrics(Meters([meter]))
    for number in range(3 * VALUES_MAX):
        session = f"sess_{number}"
        metrics(seen(started(model=f"model-{number}"), session=session))
        metrics(seen(records.UsageRecorded(input_tokens=1), session=session))
    models = {
        dict(labels)["gen_ai_request_model"]: value
        for (name, labels), value in samples(meter).items()
        if name == "gen_ai_client_token_usage_count" and ("gen_ai_token_type", "input") in labels
    }
    assert len(models) == VALUES_MAX + 1
    assert models[OTHER] == 2 * VALUES_MAX


def test_reply_time_counts_from_the_user_s_last_word_to_the_first_sound() -> None:
    meter = PrometheusMeter()
    metrics = RecordMetrics(Meters([meter]))
    metrics(seen(started()))
    turn = records.TurnStarted(
        op_id="turn_1", source=records.TurnSource.SPEECH, understood=True, spoken_until_ns=int(1e9)
    )
    metrics(seen(turn, at_s=1.4))
    said = records.UtteranceStarted(utterance_id="utt_1", response_id="resp_1")
    about = {"run_id": "run_1", "session_id": "sess_1", "turn_id": "turn_1"}
    metrics(Observation(record=said, at_ns=int(1.7e9), **about))
    metrics(Observation(record=said, at_ns=int(9e9), **about))
    (reply_s,) = [
        value
        for (name, _), value in samples(meter).items()
        if name == "agentfield_turn_time_to_first_audio_seconds_sum"
    ]
    assert reply_s == pytest.approx(0.7)


def test_what_ends_without_having_begun_here_is_not_measured() -> None:
    meter = PrometheusMeter()
    metrics = RecordMetrics(Meters([meter]))
    metrics(seen(records.SessionEnded(reason=CloseReason.NORMAL)))
    metrics(seen(records.ExecutionFailed(op_id="exec_1", reason=Reason.HANDLER_ERROR)))
    metrics(seen(records.ToolResultRecorded(op_id="tool_1")))
    assert metrics.sessions_active == 0
    assert not [name for name, _ in samples(meter) if name.endswith("_count")]


def test_an_execution_was_in_the_queue_until_its_first_attempt() -> None:
    meter = PrometheusMeter()
    metrics = RecordMetrics(Meters([meter]))
    for number in range(3):
        queued = records.ExecutionQueued(
            op_id=f"exec_{number}", target="desk.ask", input_ref="content.1", remote=True
        )
        metrics(seen(queued))
    for attempt in (1, 2):
        sent = records.ExecutionDispatchRequested(execution_id="exec_0", attempt=attempt)
        metrics(seen(sent, at_s=attempt))
    metrics(seen(records.ExecutionCancelled(op_id="exec_1")))
    waited = {name: value for (name, _), value in samples(meter).items() if "queue_duration" in name}
    assert waited["agentfield_execution_queue_duration_seconds_count"] == 1
    assert waited["agentfield_execution_queue_duration_seconds_sum"] == 1


def test_an_observer_that_fails_is_let_go_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: Observation) -> None:
        raise ValueError("what somebody said")

    telemetry = Telemetry(Settings(), others=[fails])
    for _ in range(3):
        telemetry.observe(seen(started()))
    assert telemetry.metrics.sessions_active == 1
    assert caplog.text.count("sees no more: ValueError") == 1
    assert "what somebody said" not in caplog.text


def test_every_metric_has_its_own_name_a_description_and_labels_that_are_words() -> None:
    names = [each.exposed_as for each in INSTRUMENTS]
    assert len(set(names)) == len(names)
    assert all(each.description.endswith(".") for each in INSTRUMENTS)
    assert all(each.buckets == tuple(sorted(each.buckets)) for each in INSTRUMENTS)
