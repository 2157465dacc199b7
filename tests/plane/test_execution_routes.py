"""The routes that agents call all the time: waiting, cancelling, restarting, reporting, headers, keys."""

from pathlib import Path

import pytest

from agentfield_rt.plane.executions import routes as http_execute
from tests.plane.serving import Served, served


def test_whoever_waits_gets_the_result_with_the_answer(server: Served) -> None:
    answer = server.post("/api/v1/execute/desk.double", {"input": {"number": 21}})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["result"], body["webhook_registered"]) == ("succeeded", 42, False)
    assert answer.headers["X-Execution-ID"] == body["execution_id"]
    failed = server.post("/api/v1/execute/desk.fails", {"input": {"secret": "no"}})
    assert (failed.status_code, failed.json()["error_message"]) == (502, "ValueError: no")


def test_a_failure_below_is_told_in_its_own_words_and_journaled_in_none(server: Served) -> None:
    answer = server.post("/api/v1/execute/desk.relies", {"input": {"secret": "out of stock"}}).json()
    assert answer["error_message"].endswith("did not succeed: handler_error: ValueError: out of stock")
    assert b"out of stock" not in (server.data / "journal.db").read_bytes()


def test_work_may_be_large_and_what_is_too_large_is_refused_by_the_name_of_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, text = "/api/v1/execute/async/desk.fails", "x" * 300_000
    with served(tmp_path, monkeypatch, work_bytes_max=400_000) as server:
        assert server.post(path, {"input": {"secret": text}}).status_code == 202
        for more in ({}, {"Origin": server.url}):  # by the short way, and by the whole one
            refused = server.post(path, {"input": {"secret": text + text}}, headers=more)
            assert (refused.status_code, "AGENTFIELD_RT_WORK_BYTES_MAX" in refused.text) == (413, True)


def test_whoever_waits_too_long_is_told_that_it_goes_on(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_execute, "SYNC_MAX_S", 0.05)
    answer = server.post("/api/v1/execute/desk.waits", {"input": {}})
    assert (answer.status_code, answer.json()["status"]) == (504, "running")
    cancelled = server.post(f"/api/v1/executions/{answer.json()['execution_id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")


def test_a_cancelled_execution_stays_cancelled_and_one_that_ended_cannot_be(server: Served) -> None:
    waiting = server.post("/api/v1/execute/async/desk.waits", {"input": {}}).json()["execution_id"]
    for _ in range(2):
        answer = server.post(f"/api/v1/executions/{waiting}/cancel", {"reason": "never mind"})
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert server.finished(waiting)["status_reason"] == "cancelled"
    done = server.execute("desk.double", number=1)["execution_id"]
    refused = server.post(f"/api/v1/executions/{done}/cancel")
    assert (refused.status_code, "is succeeded" in refused.json()["error"]) == (409, True)
    assert server.post("/api/v1/executions/exec_nobody/cancel").status_code == 404


def test_an_execution_can_be_run_again(server: Served) -> None:
    first = server.execute("desk.double", number=4)
    again = server.post(f"/api/v1/executions/{first['execution_id']}/restart")
    assert (again.status_code, again.json()["source_execution_id"]) == (202, first["execution_id"])
    assert server.finished(again.json()["execution_id"])["result"] == 8
    other = server.post(f"/api/v1/executions/{first['execution_id']}/restart", {"input": {"number": 5}})
    assert server.finished(other.json()["execution_id"])["result"] == 10
    strange = server.post(f"/api/v1/executions/{first['execution_id']}/restart", {"scope": "half"})
    assert (strange.status_code, "'workflow' or 'execution'" in strange.json()["error"]) == (400, True)


def test_a_key_makes_a_submit_that_is_sent_again_the_same(server: Served) -> None:
    key = {"Idempotency-Key": "order 7"}
    path = "/api/v1/execute/async/desk.double"
    first = server.post(path, {"input": {"number": 7}}, headers=key).json()
    assert server.finished(first["execution_id"])["result"] == 14
    again = server.post(path, {"input": {"number": 7}}, headers=key).json()
    assert (again["execution_id"], again["status"]) == (first["execution_id"], "succeeded")
    other = server.post(path, {"input": {"number": 8}}, headers=key)
    assert (other.status_code, "Idempotency-Key" in other.json()["error"]) == (409, True)


def test_several_executions_are_asked_about_at_once(server: Served) -> None:
    done = server.execute("desk.double", number=1)["execution_id"]
    answer = server.post("/api/v1/executions/batch-status", {"execution_ids": [done, "exec_nobody"]})
    assert answer.json()[done]["result"] == 2
    assert answer.json()["exec_nobody"]["status"] == "not_found"
    many = server.post("/api/v1/executions/batch-status", {"execution_ids": ["e"] * 501})
    assert many.status_code == 400


def test_nobody_reports_on_what_runs_here(server: Served) -> None:
    waiting = server.post("/api/v1/execute/async/desk.waits", {"input": {}}).json()["execution_id"]
    report = f"/api/v1/executions/{waiting}/status"
    assert server.post(report, {"status": "succeeded", "result": "mine"}).status_code == 409
    assert server.post(report, {"status": "running"}).status_code == 200
    assert server.post(report, {"status": "elated"}).status_code == 400
    assert server.post("/api/v1/executions/exec_nobody/status", {"status": "failed"}).status_code == 404
    server.post(f"/api/v1/executions/{waiting}/cancel")
    assert server.post(report, {"status": "canceled"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Run-ID", "a b"),
        ("X-Session-ID", "../x"),
        ("X-Parent-Execution-ID", "x" * 129),
        ("X-Actor-ID", "ä"),
    ],
)
def test_an_id_that_is_none_is_refused(server: Served, name: str, value: str) -> None:
    headers = {name: value.encode("latin-1")}
    answer = server.post("/api/v1/execute/async/desk.double", {"input": {"number": 1}}, headers=headers)
    assert (answer.status_code, name in answer.json()["error"]) == (400, True)


def test_an_execution_gets_an_id_of_its_own_and_the_callers_is_its_parent(server: Served) -> None:
    headers = {"X-Execution-ID": "exec_phantom", "X-Session-ID": "run_mine", "X-Run-ID": "run_mine"}
    body = server.post("/api/v1/execute/async/desk.double", {"input": {"number": 1}}, headers=headers).json()
    assert body["execution_id"] != "exec_phantom"
    assert server.finished(body["execution_id"])["run_id"] == body["run_id"] == "run_mine"


@pytest.mark.parametrize("body", [b"{", b'{"input": 7}', b"[]", b"\xff", b'{"webhook": {}}'])
def test_a_body_that_is_something_else_is_refused_without_repeating_it(server: Served, body: bytes) -> None:
    answer = server.client.post("/api/v1/execute/async/desk.double", content=body)
    assert (answer.status_code, answer.json()["error"].startswith("invalid request: ")) == (400, True)


def test_no_body_is_no_arguments(server: Served) -> None:
    answer = server.client.post("/api/v1/execute/async/desk.waits")
    assert answer.status_code == 202
    server.post(f"/api/v1/executions/{answer.json()['execution_id']}/cancel")


def test_the_document_tells_of_plain_routes_too(server: Served) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    submit = paths["/api/v1/execute/async/{target}"]["post"]
    assert submit["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ExecuteBody")
    assert {"202", "400", "404", "503"} <= submit["responses"].keys()
    assert {"get"} <= paths["/api/v1/executions/{execution_id}"].keys()
