"""Agents that register over HTTP: let in, refused, replaced, approved, remembered."""

from pathlib import Path
from typing import Any

import pytest

from tests.nodes.agents import SESSION, plane, registration
from tests.nodes.peer import NOTHING, answer, peer


@pytest.mark.asyncio
async def test_an_agent_registers_and_is_shown_as_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plane(tmp_path, monkeypatch) as it, peer() as agent:
        first = await it.post("/nodes/register", registration(agent.url))
        again = await it.post("/nodes/register", registration(agent.url))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["resolved_base_url"] == agent.url
        node = await it.node()
        assert (node["id"], node["lifecycle_status"], node["health_status"]) == (
            "worker",
            "starting",
            "starting",
        )
        assert [each["id"] for each in node["reasoners"] + node["skills"]] == ["think", "add"]
        assert node["sessions"][0]["target"] == "worker.voice"
        assert node["last_heartbeat"] is not None
        beat = await it.post("/nodes/worker/heartbeat", {"status": "ready", "instance_id": "one"})
        assert beat.json()["success"] is True
        assert (await it.node())["health_status"] == "active"
        listed = (await it.get("/nodes")).json()
        assert [each["id"] for each in listed["nodes"]] == ["own", "worker"]
        assert (await it.get("/nodes", health_status="offline")).json()["count"] == 0


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"base_url": "http://169.254.169.254/latest"}, 403, "base_url: this server calls only"),
    ({"base_url": "http://a:b@127.0.0.1:1/"}, 400, "base_url: the address must carry no user name"),
    ({"base_url": "agent:8001"}, 400, "base_url: "),
    ({"base_url": "http://127.0.0.1:1/?a=b"}, 400, "base_url: must have no query"),
    ({"id": "a.b"}, 400, "body.id: "),
    ({"id": "own"}, 409, "node 'own' is known here"),
    ({"reasoners": [{"tags": []}]}, 400, "body.reasoners.0.id: Field required"),
    ({"skills": [{"id": "think"}]}, 400, "skills[0].id: 'think' is the name of another"),
    ({"instance_id": "x" * 200}, 400, "body.instance_id: "),
    ({"metadata": {"custom": {"sessions": {"a": 1}}}}, 400, "metadata.custom.sessions: must be a list"),
    ({"metadata": {"custom": {"sessions": [SESSION, SESSION]}}}, 400, "[1].name: 'voice' is declared twice"),
]
WRONG_SESSION: list[tuple[dict[str, Any], str]] = [
    (
        {"provider": "acme"},
        "provider, metadata.custom.sessions[0].transport: Unknown session provider 'acme'",
    ),
    ({"transport": "pigeon"}, "Unsupported session transport 'pigeon'"),
    ({"name": "a.b"}, "metadata.custom.sessions[0].name: "),
    ({"modalities": ["smell"]}, "metadata.custom.sessions[0].modalities[0]: must be audio or text"),
    ({"tools": [5]}, "metadata.custom.sessions[0].tools[0]: "),
    ({"turn_detection": {"threshold": 2}}, "sessions[0].turn_detection: turn_detection.threshold must be"),
    ({"turn_detection": "loud"}, "sessions[0].turn_detection: turn_detection must be an object"),
]


@pytest.mark.asyncio
async def test_what_cannot_be_meant_is_refused_by_the_name_of_the_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = WRONG + [
        ({"metadata": {"custom": {"sessions": [SESSION | session]}}}, 400, said)
        for session, said in WRONG_SESSION
    ]
    async with plane(tmp_path, monkeypatch) as it:
        for members, status, said in wrong:
            refused = await it.post("/nodes/register", registration("http://127.0.0.1:9", **members))
            assert (refused.status_code, said in refused.json()["error"]) == (status, True), refused.text
        assert (await it.get("/nodes")).json()["count"] == 1


@pytest.mark.asyncio
async def test_who_is_not_registered_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with plane(tmp_path, monkeypatch) as it:
        for path in ("/nodes/worker/heartbeat", "/nodes/worker/shutdown", "/nodes/own/heartbeat"):
            assert (await it.post(path, {})).status_code == 404
        assert (
            await it.client.patch("/api/v1/nodes/worker/status", json={"phase": "ready"})
        ).status_code == 404
        assert (await it.client.delete("/api/v1/nodes/worker")).status_code == 404
        assert (await it.get("/nodes/worker")).status_code == 404


@pytest.mark.asyncio
async def test_a_lease_can_be_asked_for_and_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with plane(tmp_path, monkeypatch) as it, peer() as agent:
        await it.post("/nodes/register", registration(agent.url))
        lease = await it.client.patch(
            "/api/v1/nodes/worker/status", json={"phase": "degraded", "health_score": 3}
        )
        assert (lease.status_code, lease.json()["lease_seconds"]) == (200, 300)
        assert (await it.node())["health_status"] == "degraded"
        gone = await it.post("/nodes/worker/shutdown", {"reason": "signal"})
        assert (gone.status_code, gone.json()["lease_seconds"]) == (202, 0)
        assert (await it.node())["lifecycle_status"] == "offline"
        assert (await it.client.delete("/api/v1/nodes/worker")).status_code == 200
        assert (await it.post("/execute/async/worker.add", {"input": {}})).status_code == 404
        assert (await it.post("/nodes/register", registration(agent.url))).status_code == 201


@pytest.mark.asyncio
async def test_a_new_process_ends_what_the_old_one_was_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plane(tmp_path, monkeypatch) as it, peer() as agent:
        agent.answers["/reasoners/think"] = answer(202, {"status": "processing"})
        await it.post("/nodes/register", registration(agent.url))
        execution_id = await it.submit("worker.think")
        while (await it.get(f"/executions/{execution_id}")).json()["status"] == "queued":
            pass
        await it.post("/nodes/register", registration(agent.url, instance_id=""))
        assert (await it.get(f"/executions/{execution_id}")).json()["status"] == "running"
        await it.post("/nodes/register", registration(agent.url, instance_id="two"))
        await it.post("/nodes/register", registration(agent.url, instance_id="three"))
        lost = await it.finished(execution_id)
        assert (lost["status"], lost["status_reason"]) == ("failed", "agent_restart_orphaned")
        assert lost["error"].startswith("agent_restart_orphaned: ")
        old = await it.post("/nodes/worker/heartbeat", {"status": "degraded", "instance_id": "one"})
        assert (old.status_code, (await it.node())["lifecycle_status"]) == (200, "starting")


@pytest.mark.asyncio
async def test_a_node_that_needs_an_approval_gets_no_work_until_it_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plane(tmp_path, monkeypatch, approve_nodes=True, approver_key="sesame") as it, peer() as agent:
        waits = await it.post("/nodes/register", registration(agent.url))
        assert waits.json()["status"] == "pending_approval"
        assert waits.json()["pending_tags"] == ["maths", "slow", "support:voice", "team:a"]
        assert (await it.post("/nodes/worker/heartbeat", {"status": "ready"})).status_code == 200
        assert (await it.node())["lifecycle_status"] == "pending_approval"
        refused = await it.post("/execute/async/worker.add", {"input": {}})
        assert (refused.status_code, refused.json()["error"][:22]) == (503, "agent_pending_approval")
        decision = {"decision": "approved", "decided_by": "ada"}
        assert (await it.post("/nodes/worker/decision", decision)).status_code == 403
        key = {"X-API-Key": "sesame"}
        unsure = await it.post("/nodes/worker/decision", {"decision": "maybe"}, headers=key)
        assert unsure.status_code == 400
        assert unsure.json()["error"].endswith("decision: Input should be 'approved' or 'denied'")
        assert (await it.post("/nodes/worker/decision", decision, headers=key)).status_code == 200
        assert (await it.node())["lifecycle_status"] == "starting"
        assert (await it.finished(await it.submit("worker.add")))["status"] == "succeeded"
        same = await it.post("/nodes/register", registration(agent.url, instance_id="two", skills=[]))
        assert "status" not in same.json()
        more = await it.post("/nodes/register", registration(agent.url, skills=[{"id": "shred"}]))
        assert more.json()["status"] == "pending_approval"


@pytest.mark.asyncio
async def test_a_node_that_was_denied_is_none_and_stays_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer() as agent:
        async with plane(tmp_path, monkeypatch, approve_nodes=True) as it:
            await it.post("/nodes/register", registration(agent.url))
            await it.post("/nodes/worker/decision", {"decision": "denied"})
        async with plane(tmp_path, monkeypatch, approve_nodes=True) as it:
            assert (await it.get("/nodes/worker")).status_code == 404
            assert (await it.get("/nodes")).json()["denied"] == ["worker"]
            refused = await it.post("/nodes/register", registration(agent.url))
            assert (refused.status_code, "denied" in refused.json()["error"]) == (403, True)
            await it.post("/nodes/worker/decision", {"decision": "approved"})
            assert (await it.node())["id"] == "worker"


@pytest.mark.asyncio
async def test_a_registration_stands_when_the_plane_starts_again_and_its_node_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer() as agent:
        agent.answers["/status"] = answer(200, {"status": "running", "node_id": "worker"})
        agent.answers["/skills/add"] = answer(200, {"sum": 3})
        async with plane(tmp_path, monkeypatch) as it:
            await it.post("/nodes/register", registration(agent.url))
            await it.post("/nodes/register", registration(agent.url, version="2.0.0"))
        async with plane(tmp_path, monkeypatch) as it:
            done = await it.finished(await it.submit("worker.add", a=1))
            assert (done["status"], done["result"]) == ("succeeded", {"sum": 3})
            node = await it.node()
            assert (node["version"], node["lifecycle_status"]) == ("2.0.0", "ready")
            assert agent.heard[-1].json() == {"a": 1}
            assert (await it.client.delete("/api/v1/nodes/worker")).status_code == 200
        async with plane(tmp_path, monkeypatch) as it:
            assert (await it.get("/nodes")).json()["count"] == 1


@pytest.mark.asyncio
async def test_work_for_a_node_that_is_away_waits_until_it_is_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer() as agent:
        agent.answers["/skills/add"] = answer(200, {"sum": 3})
        agent.answers["/status"] = NOTHING
        async with plane(tmp_path, monkeypatch) as it:
            await it.post("/nodes/register", registration(agent.url))
            await it.post("/nodes/worker/shutdown", {})
            execution_id = await it.submit("worker.add")
            assert (await it.get(f"/executions/{execution_id}")).json()["status"] == "queued"
        async with plane(tmp_path, monkeypatch) as it:
            assert (await it.get(f"/executions/{execution_id}")).json()["status"] == "queued"
            assert [each.path for each in agent.heard] == ["/status"]
            await it.post("/nodes/worker/heartbeat", {"status": "ready", "instance_id": "one"})
            assert (await it.finished(execution_id))["result"] == {"sum": 3}
