"""Executions and workflows over HTTP, in AgentField's shapes."""

from typing import Any

import pytest

from tests.plane.serving import Served


def test_an_execution_is_accepted_runs_and_shows_its_result(server: Served) -> None:
    answer = server.post("/api/v1/execute/async/desk.double", {"input": {"number": 21}})
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["X-Execution-ID"] == body["execution_id"]
    assert answer.headers["X-Run-ID"] == body["run_id"] == body["workflow_id"]
    assert (body["status"], body["target"], body["type"]) == ("queued", "desk.double", "reasoner")
    done = server.finished(body["execution_id"])
    assert (done["status"], done["result"], done["webhook_registered"]) == ("succeeded", 42, False)
    assert done["duration_ms"] >= 0


def test_a_reasoner_that_raises_fails_and_says_why_to_its_caller_only(server: Served) -> None:
    done = server.execute("desk.fails", secret="SENTINEL")
    assert (done["status"], done["status_reason"]) == ("failed", "handler_error")
    assert done["error"] == "ValueError: SENTINEL"
    stored = b"".join(path.read_bytes() for path in server.data.iterdir() if "journal" in path.name)
    assert b"SENTINEL" not in stored


def test_arguments_that_do_not_fit_fail_the_execution_without_running_it(server: Served) -> None:
    done = server.execute("desk.double", number="many")
    assert (done["status"], done["status_reason"]) == ("failed", "invalid_request")
    assert done["error"] == "double does not take these arguments: number: int_parsing"


@pytest.mark.parametrize(
    ("target", "status", "says"),
    [
        ("double", 400, "target must be in format 'node_id.reasoner_name'"),
        ("nobody.double", 404, "agent 'nobody' not found"),
        ("desk.nothing", 404, "target 'nothing' not found on agent 'desk'"),
    ],
)
def test_an_unknown_target_is_refused_in_agentfields_words(
    server: Served, target: str, status: int, says: str
) -> None:
    answer = server.post(f"/api/v1/execute/async/{target}", {"input": {}})
    assert (answer.status_code, answer.json()["error"]) == (status, says)


def test_an_unknown_execution_is_not_found(server: Served) -> None:
    answer = server.get("/api/v1/executions/exec_nobody")
    assert (answer.status_code, answer.json()) == (404, {"error": "execution not found"})


def test_a_nested_call_hangs_below_its_caller_in_the_workflow(server: Served) -> None:
    done = server.execute("desk.resolve", text="abc")
    assert done["result"] == "abc: 6"
    dag = server.get(f"/api/ui/v1/workflows/{done['run_id']}/dag").json()
    assert (dag["total_nodes"], dag["max_depth"], dag["workflow_status"]) == (2, 1, "succeeded")
    assert dag["dag"]["reasoner_id"] == "resolve"
    assert [child["reasoner_id"] for child in dag["dag"]["children"]] == ["double"]
    assert dag["dag"]["children"][0]["parent_execution_id"] == done["execution_id"]


def test_headers_place_an_execution_in_a_run(server: Served) -> None:
    headers = {"X-Run-ID": "run_of_mine", "X-Session-ID": "sess_of_mine"}
    blocking = server.post("/api/v1/execute/async/desk.waits", {"input": {}}, headers=headers).json()
    headers["X-Parent-Execution-ID"] = blocking["execution_id"]
    below = server.post("/api/v1/execute/async/desk.double", {"input": {"number": 1}}, headers=headers).json()
    server.finished(below["execution_id"])
    assert (blocking["run_id"], below["run_id"]) == ("run_of_mine", "run_of_mine")
    dag = server.get("/api/ui/v1/workflows/run_of_mine/dag").json()
    assert (dag["workflow_status"], dag["session_id"]) == ("running", "sess_of_mine")
    assert [child["execution_id"] for child in dag["dag"]["children"]] == [below["execution_id"]]


def test_a_run_id_that_is_used_again_after_its_run_s_end_is_the_same_workflow(server: Served) -> None:
    done = server.execute("desk.double", number=1)
    headers = {"X-Run-ID": done["run_id"], "X-Parent-Execution-ID": done["execution_id"]}
    again = server.post("/api/v1/execute/desk.resolve", {"input": {"text": "abc"}}, headers=headers)
    assert (again.status_code, again.json()["run_id"]) == (200, done["run_id"])
    assert again.headers["X-Run-ID"] == done["run_id"]
    dag = server.get(f"/api/ui/v1/workflows/{done['run_id']}/dag").json()
    assert dag["dag"]["execution_id"] == done["execution_id"]
    (resolved,) = dag["dag"]["children"]
    assert resolved["execution_id"] == again.json()["execution_id"]
    assert [node["reasoner_id"] for node in resolved["children"]] == ["double"]
    assert {node["workflow_id"] for node in dag["timeline"]} == {done["run_id"]}
    found = server.post(
        "/api/v1/agentic/query", {"resource": "executions", "filters": {"run_id": done["run_id"]}}
    ).json()["data"]["results"]
    assert [each["run_id"] for each in found] == 3 * [done["run_id"]]


def test_a_key_finds_what_it_began_after_the_end_of_its_run(server: Served) -> None:
    done = server.execute("desk.double", number=1)
    headers = {"X-Run-ID": done["run_id"], "Idempotency-Key": "again"}
    answers = [
        server.post("/api/v1/execute/desk.double", {"input": {"number": number}}, headers=headers)
        for number in (2, 2, 3)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert answers[0].json() == answers[1].json()
    assert server.get(f"/api/ui/v1/workflows/{done['run_id']}/dag").json()["total_nodes"] == 2


@pytest.mark.parametrize("run_id", ["x" * 5_000, "../../etc/passwd", "a b", "r\xe9"])
def test_a_strange_run_id_does_no_harm(server: Served, run_id: str) -> None:
    headers = {b"X-Run-ID": run_id.encode("latin-1")}
    answer = server.client.post(
        "/api/v1/execute/async/desk.double", json={"input": {"number": 1}}, headers=headers
    )
    assert answer.status_code in (202, 400)
    assert server.get("/health").status_code == 200


def test_workflows_are_found_by_session_and_by_page(server: Served) -> None:
    def ask(**body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = server.post("/api/v1/agentic/query", body).json()
        return answer

    session_id = server.start()
    row = ask(resource="workflows", filters={"session_id": session_id})["data"]["results"][0]
    assert (row["session_id"], row["workflow_name"], row["status"]) == (session_id, "phone", "running")
    page = ask(resource="workflows", limit=1)["data"]
    assert (len(page["results"]), page["limit"], page["offset"]) == (1, 1, 0)
    assert page["total"] > 1
    assert ask(resource="workflows", filters={"session_id": "sess_nobody"})["data"]["results"] == []
    refused = ask(resource="cats")
    assert (refused["ok"], refused["error"]["code"]) == (False, "invalid_resource")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b'{"input": 3}', b"\xff\xfe", b'{"input": {"number": NaN}}', b""]
)
def test_a_body_that_is_no_execution_is_refused_without_an_echo(server: Served, body: bytes) -> None:
    answer = server.client.post(
        "/api/v1/execute/async/desk.double", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (202, 400)
    if answer.status_code == 400:
        assert answer.json()["error"].startswith("invalid request: ")
