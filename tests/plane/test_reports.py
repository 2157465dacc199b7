"""What agents tell besides outcomes: hints in any order, which move nothing that ended; notes; logs."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentfield_rt.plane.executions.logs import ENTRIES_MAX, ENTRY_BYTES_MAX, EXECUTIONS_MAX, ExecutionLogs
from tests.plane.serving import Served, served

EVENTS = "/api/v1/workflow/executions/events"
_numbers = itertools.count()


def event(execution_id: str, run_id: str, status: str, **more: Any) -> dict[str, Any]:
    """As the published SDK posts it."""
    return {
        "execution_id": execution_id,
        "workflow_id": run_id,
        "run_id": run_id,
        "reasoner_id": "inner",
        "type": "inner",
        "agent_node_id": "desk",
        "status": status,
        "parent_execution_id": None,
        "parent_workflow_id": None,
        **more,
    }


def new_call() -> str:
    return f"exec_{next(_numbers)}_0000abcd"


def dag(server: Served, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/api/ui/v1/workflows/{run_id}/dag").json()
    return found


def node(server: Served, run_id: str, execution_id: str) -> dict[str, Any]:
    return next(each for each in dag(server, run_id)["timeline"] if each["execution_id"] == execution_id)


ORDERS: Sequence[Sequence[str]] = [
    ("registered", "running", "succeeded"),
    ("running", "registered", "succeeded"),
    ("succeeded", "running", "registered"),
    ("running", "succeeded", "failed"),
    ("succeeded", "succeeded", "running"),
]


@pytest.mark.parametrize("order", ORDERS)
def test_a_call_within_an_agent_is_in_the_workflow_whatever_comes_first(
    server: Served, order: Sequence[str]
) -> None:
    done = server.execute("desk.double", number=1)
    run_id, call = done["run_id"], new_call()
    for place, status in enumerate(order):
        if status == "registered":
            body = {"execution_id": call, "run_id": run_id, "workflow_id": run_id, "reasoner_name": "inner"}
            answer = server.post("/api/v1/workflow/executions", body | {"node_id": "desk"})
            assert answer.json()["execution_id"] == call
        else:
            more = {"parent_execution_id": done["execution_id"], "input_data": {"secret": 1}}
            if status != "running":
                more |= {"result": [1], "duration_ms": 1_500}
            answer = server.post(EVENTS, event(call, run_id, status, **more))
            assert answer.json() == {"success": True, "created" if place == 0 else "updated": True}
        assert answer.status_code == 200
    found = node(server, run_id, call)
    assert (found["status"], found["parent_execution_id"]) == ("succeeded", done["execution_id"])
    assert (found["reasoner_id"], found["workflow_depth"]) == ("inner", 1)
    assert dag(server, run_id)["total_nodes"] == 2


def test_a_call_within_an_agent_that_failed_says_why_in_its_agent_s_words(server: Served) -> None:
    done = server.execute("desk.double", number=1)
    for error, said in (
        ("sold \u201eout\u201c", "sold „out“"),
        ({"code": 5}, '{"code":5}'),
        (None, "handler_error"),
    ):
        call = new_call()
        assert server.post(EVENTS, event(call, done["run_id"], "failed", error=error)).status_code == 200
        found = server.get(f"/api/v1/executions/{call}").json()
        assert (found["status"], found["error"]) == ("failed", said)


def test_no_event_moves_what_was_submitted_here(server: Served) -> None:
    done = server.execute("desk.double", number=2)
    for status in ("failed", "running", "cancelled"):
        answer = server.post(EVENTS, event(done["execution_id"], done["run_id"], status, error="x"))
        assert answer.json() == {"success": True, "updated": True}
    assert server.get(f"/api/v1/executions/{done['execution_id']}").json()["status"] == "succeeded"
    assert node(server, done["run_id"], done["execution_id"])["status"] == "succeeded"


def test_an_event_of_a_run_that_was_never_seen_makes_it_known_and_leaves_it_open(server: Served) -> None:
    run_id = f"run_of_an_agent_{next(_numbers)}"
    assert server.post(EVENTS, event(new_call(), run_id, "running")).json() == {
        "success": True,
        "created": True,
    }
    headers = {"X-Run-ID": run_id}
    later = server.post("/api/v1/execute/async/desk.double", {"input": {"number": 1}}, headers=headers)
    assert later.status_code == 202
    server.finished(later.json()["execution_id"])
    assert dag(server, run_id)["total_nodes"] == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "sleeping"}, "is none of"),
        ({"execution_id": "../x"}, "invalid request"),
        ({"execution_id": None}, "invalid request"),
        ({"reasoner_id": ""}, "invalid request"),
        ({"run_id": None, "workflow_id": None}, "run_id is missing"),
        ({"duration_ms": -1}, "invalid request"),
    ],
)
def test_an_event_that_cannot_be_meant_is_refused(server: Served, change: dict[str, Any], says: str) -> None:
    answer = server.post(EVENTS, event(new_call(), "run_x", "running") | change)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_what_was_told_of_a_run_is_there_for_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = new_call()
    with served(tmp_path, monkeypatch) as server:
        done = server.execute("desk.double", number=1)
        server.post(
            EVENTS, event(call, done["run_id"], "succeeded", parent_execution_id=done["execution_id"])
        )
        headers = {"X-Execution-ID": done["execution_id"]}
        assert server.post("/api/v1/executions/note", {"message": "late"}, headers=headers).status_code == 200
        before = dag(server, done["run_id"])
    (tmp_path / "catalogue.db").unlink()
    with served(tmp_path, monkeypatch) as server:
        assert dag(server, done["run_id"]) == before
        answer = server.post(EVENTS, event(call, done["run_id"], "failed"))
        assert answer.json() == {"success": True, "updated": True}
        assert dag(server, done["run_id"]) == before
        assert before["dag"]["notes_count"] == 1
        notes = server.get(f"/api/v1/executions/{done['execution_id']}/notes").json()
        assert [note["message"] for note in notes["notes"]] == ["late"]


def test_notes_are_kept_in_order_and_found_by_tag(server: Served) -> None:
    done = server.execute("desk.double", number=3)
    headers = {"X-Execution-ID": done["execution_id"], "X-Run-ID": done["run_id"]}
    for number, tags in enumerate((["a"], [], ["a", "b"])):
        body = {"message": f"n{number}", "tags": tags, "timestamp": 1.5, "agent_node_id": "desk"}
        answer = server.post("/api/v1/executions/note", body, headers=headers).json()
        assert (answer["success"], answer["note"]["message"]) == (True, f"n{number}")
    path = f"/api/v1/executions/{done['execution_id']}/notes"
    everything = server.get(path).json()
    assert [note["message"] for note in everything["notes"]] == ["n0", "n1", "n2"]
    assert (everything["total"], everything["execution_id"]) == (3, done["execution_id"])
    assert [note["message"] for note in server.get(f"{path}?tags=b,c").json()["notes"]] == ["n2"]
    drawn = dag(server, done["run_id"])["dag"]
    assert (drawn["notes_count"], drawn["latest_note"]["message"]) == (3, "n2")
    assert b"n1" not in (server.data / "journal.db").read_bytes()


def test_a_note_about_nothing_is_refused(server: Served) -> None:
    body = {"message": "m"}
    assert server.post("/api/v1/executions/note", body).status_code == 400
    headers = {"X-Execution-ID": "exec_nobody"}
    assert server.post("/api/v1/executions/note", body, headers=headers).status_code == 404
    assert server.post("/api/v1/executions/note", {"message": ""}, headers=headers).status_code == 400
    assert server.get("/api/v1/executions/exec_nobody/notes").status_code == 404
    assert server.get("/api/v1/executions/exec_nobody/logs").status_code == 404


def test_log_lines_come_back_as_they_were_posted(server: Served) -> None:
    done = server.execute("desk.double", number=4)
    path = f"/api/v1/executions/{done['execution_id']}/logs"
    entries = [{"level": "INFO", "message": f"m{number}", "attributes": {"n": number}} for number in range(3)]
    assert server.post(path, {"entries": entries}).json() == {"success": True, "accepted": 3}
    assert server.post(path, {"entries": [{"message": "x" * ENTRY_BYTES_MAX}]}).json()["accepted"] == 0
    found = server.get(path).json()
    assert (found["entries"], found["total"], found["dropped"]) == (entries, 3, 1)
    assert server.get(f"{path}?tail_lines=1").json()["entries"] == entries[-1:]
    assert server.post(path, {"entries": 3}).status_code == 400


def test_logs_are_bounded_in_every_direction() -> None:
    logs = ExecutionLogs(bytes_max=10_000)
    logs.add("one", [b"%d" % number for number in range(ENTRIES_MAX + 3)])
    assert (len(logs.of("one").entries), logs.of("one").dropped) == (ENTRIES_MAX, 3)
    logs.add("two", [b"x" * 6_000])
    logs.add("three", [b"x" * 6_000])
    assert [bool(logs.of(name).entries) for name in ("one", "two", "three")] == [False, False, True]
    for number in range(EXECUTIONS_MAX + 1):
        logs.add(f"n{number}", [b"1"])
    assert not logs.of("n0").entries
    assert logs.of(f"n{EXECUTIONS_MAX}").entries


def test_a_run_of_which_only_a_beginning_was_told_ends_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served(tmp_path, monkeypatch) as server:
        server.post(EVENTS, event(new_call(), "run_told", "running")).raise_for_status()
    with served(tmp_path, monkeypatch) as server:
        query = {"resource": "runs", "filters": {"run_id": "run_told"}}
        (run,) = server.post("/api/v1/agentic/query", query).json()["data"]["results"]
    assert run["outcome"] == "failed"
    assert not [line for line in caplog.records if line.levelname == "ERROR"]
