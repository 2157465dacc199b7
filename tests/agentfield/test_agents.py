"""Agents of the published SDK, as they are, at our control plane."""

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.agentfield.conftest import AGENTS
from tests.agentfield.processes import AF, ROOT, Field
from tests.plane.serving import OFFER


def test_agents_are_registered_as_they_declare_themselves(field: Field) -> None:
    planner = field.get("/nodes/planner")
    assert (planner["version"], planner["lifecycle_status"]) == ("1.2.3", "ready")
    assert {each["id"] for each in planner["skills"]} == {"word_count"}
    assistant = field.get("/nodes/assistant")
    session, _ = assistant["sessions"]
    assert (session["target"], session["tools"], session["tags"]) == (
        "assistant.voice",
        ["assistant.add"],
        ["support:voice"],
    )


def test_an_agent_asks_another_that_asks_back_and_the_workflow_shows_it(field: Field) -> None:
    done = field.execute("planner.plan", topic="a long way")
    assert done["status"] == "succeeded", done
    assert done["result"] == {"topic": "a long way", "said": {"text": "A LONG WAY", "words": 3}}
    dag = field.client.get(f"/api/ui/v1/workflows/{done['run_id']}/dag").json()
    names = {node["execution_id"]: node["reasoner_id"] for node in dag["timeline"]}
    edges = {
        (names[node["parent_execution_id"]], node["reasoner_id"])
        for node in dag["timeline"]
        if node.get("parent_execution_id") in names
    }
    assert edges == {("plan", "shout"), ("shout", "word_count")}
    notes = field.get(f"/executions/{done['execution_id']}/notes")["notes"]
    assert [(note["message"], note["tags"]) for note in notes] == [("planning a long way", ["progress"])]


@pytest.mark.parametrize(
    ("target", "given", "result"),
    [
        ("assistant.add", {"a": 2, "b": 3}, {"sum": 5}),
        ("planner.word_count", {"text": "a b"}, 2),
        ("planner.words", {"text": "a b"}, ["a", "b"]),
        ("planner.text", {"text": "a b"}, "a b"),
        ("planner.nothing", {}, None),
    ],
)
def test_whatever_an_agent_returns_is_the_result(
    field: Field, target: str, given: dict[str, Any], result: Any
) -> None:
    done = field.execute(target, **given)
    assert (done["status"], done["result"]) == ("succeeded", result)


def test_a_result_may_be_larger_than_what_it_was_asked_with(field: Field) -> None:
    done = field.execute("planner.repeats", text="a word ", times=100_000)
    assert (done["status"], len(done["result"])) == ("succeeded", 700_000)


@pytest.mark.parametrize(
    ("target", "given", "said"),
    [
        ("planner.fails", {"text": "that"}, "cannot think about that"),
        ("assistant.breaks", {"text": "x"}, "Internal Server Error"),
        ("assistant.add", {"a": "many"}, "Invalid value for field 'a'"),
        ("planner.plan", {}, "topic"),
    ],
)
def test_what_an_agent_fails_at_fails_in_its_words(
    field: Field, target: str, given: dict[str, Any], said: str
) -> None:
    done = field.until(field.submit(target, **given), "failed", "succeeded")
    assert done["status"] == "failed"
    assert said in done["error"]


def test_what_is_cancelled_is_cancelled_at_the_agent(field: Field) -> None:
    started = field.folder / "started"
    execution_id = field.submit("planner.slow")
    wait_for(started, "running")
    assert field.post(f"/executions/{execution_id}/cancel").status_code == 200
    assert field.until(execution_id, "cancelled")["status"] == "cancelled"
    wait_for(started, "cancelled")


def wait_for(path: Path, text: str) -> None:
    """Return once an agent has written `text`."""
    while not path.exists() or path.read_text() != text:
        threading.Event().wait(0.02)


def test_an_agent_waits_for_somebody_s_answer_and_so_does_whoever_called_it(field: Field) -> None:
    execution_id = field.submit("planner.relies", request_id="req-1")
    run_id = field.until(execution_id, "waiting")["run_id"]
    dag = field.client.get(f"/api/ui/v1/workflows/{run_id}/dag").json()
    assert [(node["reasoner_id"], node["status"]) for node in dag["timeline"]] == [
        ("relies", "waiting"),
        ("asks_first", "waiting"),
    ]
    answered = field.post(
        "/webhooks/approval-response", {"requestId": "req-1", "decision": "approved", "feedback": "go on"}
    )
    assert answered.json()["new_status"] == "running", answered.text
    done = field.until(execution_id, "succeeded", "failed")
    assert done["result"] == {"inner": {"approved": True, "feedback": "go on"}}, done


def test_an_agent_keeps_what_it_is_told(field: Field) -> None:
    done = field.execute("planner.remembers", key="colour", value="blue")
    assert done["status"] == "succeeded", done
    assert done["result"] == {"found": {"value": "blue"}, "missing": "default"}


def test_an_agent_keeps_four_scopes_apart(field: Field) -> None:
    done = field.execute("planner.remembers_everywhere", key="size")
    assert done["status"] == "succeeded", done
    assert done["result"] == {
        "found": {"workflow": "workflow", "session": "session", "actor": "nothing", "global": "global"},
        "keys": ["size"],
    }


def test_an_agent_finds_what_is_similar(field: Field) -> None:
    assert field.execute("planner.finds_similar")["result"] == ["north", "east"]


def test_an_agent_is_told_of_changes_of_memory(field: Field) -> None:
    done = field.execute("planner.watches", key="stock")
    assert done["result"] == {"scope": "global", "key": "stock", "previous": 1}, done


def test_an_agent_finds_a_skill_and_calls_it_by_the_name_it_found(field: Field) -> None:
    done = field.execute("planner.looks", tag="maths")
    assert done["status"] == "succeeded", done
    found = done["result"]
    assert (found["target"], found["compact"], found["called"]) == (
        "assistant.add",
        ["assistant.add"],
        {"sum": 5},
    )
    assert set(found["schema"]["properties"]) == {"a", "b"}
    assert '<agent id="assistant"' in found["xml"]


def test_the_example_of_the_documentation_does_what_it_says(field: Field) -> None:
    field.agent(ROOT / "examples" / "agentfield" / "worker.py")
    done = field.execute("worker.total", numbers=[1, 2, 3])
    assert (done["status"], done["result"]) == ("succeeded", {"total": 6})
    run = field.client.get(f"/api/ui/v1/workflows/{done['run_id']}/dag").json()
    assert run["total_nodes"] == 4


def test_a_session_answers_by_its_model_and_runs_its_tools_at_the_agent(field: Field) -> None:
    answer = field.post("/sessions/assistant.voice/start", {})
    assert answer.status_code == 201, answer.text
    session = answer.json()
    assert session["tool_targets"] == {"add": "assistant.add"}
    field.post(f"/session-instances/{session['session_id']}/input", {"text": "what is two and three"})
    kinds = [record["kind"] for record in field.records(session["session_id"], until="turn_completed")]
    assert kinds.index("tool_intent_recorded") < kinds.index("tool_result_recorded")
    dag = field.get(f"/sessions/{session['session_id']}/dag")
    assert dag, "the session has no workflow"
    run = field.client.get(f"/api/ui/v1/workflows/{session['run_id']}/dag").json()
    (tool,) = [node for node in run["timeline"] if node["reasoner_id"] == "add"]
    assert (tool["agent_node_id"], tool["status"]) == ("assistant", "succeeded")
    assert field.get(f"/executions/{tool['execution_id']}")["result"] == {"sum": 5}
    refused = field.post(f"/sessions/{session['session_id']}/tools/breaks", {"target": "assistant.breaks"})
    assert refused.status_code == 403, "only what the session declares is a tool"
    assert field.post(f"/session-instances/{session['session_id']}/close").status_code == 200


def test_a_browser_s_session_runs_its_tools_over_the_sideband(field: Field) -> None:
    session = field.post("/session-targets/assistant.web/start", {}).json()
    offered = field.client.post(session["offer_url"], content=OFFER)
    assert (offered.status_code, offered.text[:3]) == (200, "v=0"), offered.text
    field.post(f"/session-instances/{session['session_id']}/input", {"text": "what is two and three"})
    field.records(session["session_id"], until="tool_result_recorded")
    run = field.client.get(f"/api/ui/v1/workflows/{session['run_id']}/dag").json()
    assert [(node["reasoner_id"], node["workflow_depth"]) for node in run["timeline"]] == [
        ("web", 0),
        ("turn", 1),
        ("add", 2),
    ]
    assert field.post(f"/session-instances/{session['session_id']}/close").status_code == 200


def test_what_was_accepted_outlives_a_killed_plane(field: Field) -> None:
    started = field.folder / "started"
    started.unlink(missing_ok=True)
    running = field.submit("planner.slow")
    wait_for(started, "running")
    field.agents["assistant"].stop()
    queued = field.submit("assistant.add", a=4, b=4)
    field.server.kill()
    field.server.start()
    assert field.get(f"/executions/{queued}")["status"] == "queued"
    assert field.get(f"/executions/{running}")["status"] == "running"
    field.agent(AGENTS / "assistant.py")
    assert field.until(queued, "succeeded", "failed")["result"] == {"sum": 8}
    field.post(f"/executions/{running}/cancel")
    wait_for(started, "cancelled")
    assert field.until(running, "cancelled")["status"] == "cancelled"


def test_an_agent_that_goes_is_waited_for_and_given_its_work_when_it_is_back(field: Field) -> None:
    field.agents["assistant"].stop()
    assert field.lifecycle("assistant") == "offline"
    execution_id = field.submit("assistant.add", a=1, b=1)
    assert field.get(f"/executions/{execution_id}")["status"] == "queued"
    field.agent(AGENTS / "assistant.py")
    assert field.until(execution_id, "succeeded", "failed")["result"] == {"sum": 2}


def test_what_a_killed_agent_was_doing_fails_when_its_next_process_registers(field: Field) -> None:
    started = field.folder / "started"
    started.unlink(missing_ok=True)
    execution_id = field.submit("planner.slow")
    wait_for(started, "running")
    field.until(execution_id, "running")
    field.agents["planner"].kill()
    field.agent(AGENTS / "planner.py", TEST_STARTED=str(started))
    lost = field.until(execution_id, "failed", "succeeded")
    assert lost["status_reason"] == "agent_restart_orphaned"


def test_what_is_journaled_of_all_this_keeps_every_promise(field: Field) -> None:
    field.execute("planner.plan", topic="an audit")
    data = field.folder / "data"
    for question in ("verify", "audit"):
        command = [str(AF), "journal", question, "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
