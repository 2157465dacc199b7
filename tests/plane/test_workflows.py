"""What ran, asked over HTTP: by run, by session, by AgentField's query, and by the process after the next."""

from pathlib import Path
from typing import Any

import pytest

from tests.plane.serving import Served, served

NODE = {
    "workflow_id", "execution_id", "agent_node_id", "reasoner_id", "status", "started_at", "completed_at",
    "duration_ms", "parent_execution_id", "workflow_depth", "children", "notes", "notes_count",
}  # fmt: skip


def query(
    server: Served, resource: str, *, limit: int = 100, offset: int = 0, **filters: str
) -> dict[str, Any]:
    body = {"resource": resource, "filters": filters, "limit": limit, "offset": offset}
    answer = server.post("/api/v1/agentic/query", body)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    assert (data["resource"], data["limit"], data["offset"]) == (resource, limit, offset)
    return data


def refused(server: Served, body: dict[str, Any]) -> tuple[int, str]:
    answer = server.post("/api/v1/agentic/query", body)
    assert answer.json()["ok"] is False
    return answer.status_code, answer.json()["error"]["code"]


def call(server: Served, text: str = "abc") -> tuple[str, str]:
    """A session with one answered turn that has ended: its id and its turn's."""
    session_id = server.start()
    path = f"/api/v1/session-instances/{session_id}"
    with server.events(session_id) as events:
        turn_id = server.post(f"{path}/input", {"text": text}).json()["turn_id"]
        events.kinds(until="utterance_played")
    assert server.post(f"{path}/close").status_code == 200
    return session_id, turn_id


def test_a_nodes_members_are_agentfields(server: Served) -> None:
    run_id = server.execute("desk.resolve", text="abc")["run_id"]
    dag = server.get(f"/api/ui/v1/workflows/{run_id}/dag").json()
    assert set(dag) == {
        "root_workflow_id", "workflow_status", "workflow_name", "total_nodes", "max_depth", "dag", "timeline"
    }  # fmt: skip
    assert set(dag["dag"]) == NODE - {"parent_execution_id"}
    assert set(dag["dag"]["children"][0]) == NODE
    assert [node["reasoner_id"] for node in dag["timeline"]] == ["resolve", "double"]


@pytest.mark.parametrize("way", ["mode=lightweight", "lightweight=true", "lightweight=1"])
def test_the_light_form_has_no_tree(server: Served, way: str) -> None:
    run_id = server.execute("desk.resolve", text="abc")["run_id"]
    dag = server.get(f"/api/ui/v1/workflows/{run_id}/dag?{way}").json()
    assert (dag["mode"], "dag" in dag, dag["total_nodes"]) == ("lightweight", False, 2)
    assert [node["workflow_depth"] for node in dag["timeline"]] == [0, 1]


def test_an_unknown_workflow_is_not_found(server: Served) -> None:
    answer = server.get("/api/ui/v1/workflows/run_nobody/dag")
    assert (answer.status_code, answer.json()) == (404, {"error": "workflow not found"})


def test_sessions_and_what_ran_in_them_are_found_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, monkeypatch) as server:
        session_id, turn_id = call(server)
        before = server.get(f"/api/v1/sessions/{session_id}/dag").json()
        rows = query(server, "workflows", session_id=session_id)
    with served(tmp_path, monkeypatch) as server:
        assert server.get(f"/api/v1/sessions/{session_id}/dag").json() == before
        assert query(server, "workflows", session_id=session_id) == rows
        assert (before["total_workflows"], before["session_id"]) == (1, session_id)
        root = before["root_workflows"][0]
        assert (root["execution_id"], root["status"]) == (session_id, "succeeded")
        assert [node["execution_id"] for node in root["children"]] == [turn_id]
        row = rows["results"][0]
        assert (row["total_executions"], row["successful_executions"], row["depth"]) == (2, 2, 3)
        assert (row["status"], row["workflow_name"], row["session_id"]) == ("succeeded", "phone", session_id)
        path = f"/api/v1/session-instances/{session_id}"
        lines = server.get(f"{path}/replay").text.splitlines()
        verified = server.get(f"{path}/verify").json()
        assert (verified["ok"], verified["records"]) == (True, len(lines))
        assert '"abc"' in "".join(lines)
        assert '"abc"' not in server.get(f"{path}/replay?content=false").text
        assert len(server.get(f"{path}/replay?after={len(lines) - 2}").text.splitlines()) == 2
        assert server.get(f"{path}/timeline.svg").text.startswith("<svg")
        with server.events(session_id) as events:
            assert events.kinds()[-1][1] in ("session_ended", "run_completed")


def test_a_session_that_only_agents_name_has_workflows_all_the_same(server: Served) -> None:
    headers = {"X-Session-ID": "sess_named_only", "X-Actor-ID": "actor_1"}
    run_ids = set[str]()
    for number in range(2):
        body = {"input": {"number": number}}
        accepted = server.post("/api/v1/execute/async/desk.double", body, headers=headers).json()
        server.finished(accepted["execution_id"])
        run_ids.add(accepted["run_id"])
    rows = query(server, "workflows", session_id="sess_named_only")
    assert {row["workflow_id"] for row in rows["results"]} == run_ids
    assert {row["actor_id"] for row in rows["results"]} == {"actor_1"}
    assert query(server, "executions", actor_id="actor_1", session_id="sess_named_only")["total"] == 2


def test_every_resource_answers_in_agentfields_envelope(server: Served) -> None:
    done = server.execute("desk.resolve", text="abc")
    failed = server.execute("desk.fails", secret="s")
    runs = query(server, "runs", run_id=done["run_id"])["results"]
    assert [(run["run_id"], run["status"], run["total_executions"]) for run in runs] == [
        (done["run_id"], "succeeded", 2)
    ]
    executions = query(server, "executions", run_id=done["run_id"])["results"]
    assert {each["reasoner_id"] for each in executions} == {"resolve", "double"}
    assert query(server, "executions", execution_id=failed["execution_id"], status="failed")["total"] == 1
    assert query(server, "executions", status="failed", agent_id="nobody")["total"] == 0
    assert query(server, "executions", since="2999-01-01T00:00:00Z")["total"] == 0
    assert query(server, "executions", until="2999-01-01T00:00:00Z", run_id=done["run_id"])["total"] == 2
    agents = query(server, "agents")["results"]
    assert [agent["id"] for agent in agents] == ["desk"]
    session_id = server.start()
    sessions = query(server, "sessions", session_id=session_id)["results"]
    assert [(each["session_id"], each["status"]) for each in sessions] == [(session_id, "live")]
    events = query(server, "events", execution_id=done["execution_id"])["results"]
    assert [event["event_type"] for event in events] == [
        "execution_created", "execution_started", "execution_completed"
    ]  # fmt: skip
    page = query(server, "executions", limit=1, offset=1)
    assert (len(page["results"]), page["total"] >= 3) == (1, True)
    assert '"s"' not in str(executions)


def test_a_query_that_cannot_be_meant_is_refused_in_its_envelope(server: Served) -> None:
    assert refused(server, {"resource": "cats"}) == (400, "invalid_resource")
    assert refused(server, {}) == (400, "invalid_request")
    assert refused(server, {"resource": "events"}) == (400, "missing_filter")
    assert refused(server, {"resource": "runs", "filters": {"execution_id": "x"}}) == (
        400,
        "unsupported_filter",
    )
    assert refused(server, {"resource": "executions", "filters": {"since": "x"}}) == (400, "invalid_request")
    answer = server.client.post("/api/v1/agentic/query", content=b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    data = server.post("/api/v1/agentic/query", {"resource": "runs", "limit": 5_000, "offset": -1}).json()[
        "data"
    ]
    assert (data["limit"], data["offset"]) == (20, 0)
