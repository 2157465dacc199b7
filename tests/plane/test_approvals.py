"""Approvals over HTTP: who may list and answer them, and what a second answer gets."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.approvals import ApprovalRule
from tests.cli.conftest import af
from tests.plane.serving import Served, served


def shop() -> Agent:
    app = Agent("shop")

    @app.reasoner()
    async def refund(amount: int) -> str:
        return f"refunded {amount}"

    async def waits(session: RealtimeSession) -> None:
        async for _ in session.turns():
            pass

    rule = ApprovalRule("refund", expires_after_s=30, for_session=False)
    app.session("phone", provider="local", transport="websocket", tools=[rule])(waits)
    return app


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served(tmp_path, monkeypatch, agents=[shop()]) as server:
        yield server


class ToolRequest(threading.Thread):
    """A caller's request for a tool, which waits for its approval."""

    def __init__(self, server: Served, session_id: str) -> None:
        super().__init__()
        self._url = f"{server.url}/api/v1/session-instances/{session_id}/tools/refund"
        self.answer: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        self.answer = httpx.post(self._url, json={"input": {"amount": 7}}, timeout=20)

    def result(self) -> httpx.Response:
        self.join(20)
        assert self.answer is not None
        return self.answer


def asked(server: Served, session_id: str, *, after: bool = False) -> dict[str, Any]:
    """The question, as soon as the session's events tell of it; `after` another one was granted."""
    with server.events(session_id) as events:
        if after:
            events.kinds(until="approval_granted")
        events.kinds(until="approval_dispatch_intent")
    listed = server.get("/api/v1/approvals", params={"session_id": session_id}).json()["approvals"]
    assert len(listed) == 1
    question: dict[str, Any] = listed[0]
    return question


def decide(server: Served, approval_id: str, decision: str, **more: Any) -> httpx.Response:
    return server.post(f"/api/v1/approvals/{approval_id}/decision", {"decision": decision}, **more)


def test_a_tool_runs_when_a_person_has_approved_it(counter: Served) -> None:
    session_id = counter.start("shop.phone")
    request = ToolRequest(counter, session_id)
    question = asked(counter, session_id)
    assert (question["target"], question["detail"]) == ("shop.refund", '{"amount":7}')
    assert question["allowed"] == ["approved", "denied"]
    assert 0 < question["expires_in_s"] <= 30
    for _ in range(2):
        answer = decide(counter, question["approval_id"], "approved")
        assert (answer.status_code, answer.json()["status"]) == (200, "approved")
    other = decide(counter, question["approval_id"], "denied")
    assert (other.status_code, "approved already" in other.json()["error"]) == (409, True)
    accepted = request.result()
    assert accepted.status_code == 202
    assert counter.finished(accepted.json()["execution_id"])["result"] == "refunded 7"
    assert counter.get("/api/v1/approvals").json() == {"approvals": []}


def test_a_tool_that_was_denied_does_not_run(counter: Served) -> None:
    session_id = counter.start("shop.phone")
    request = ToolRequest(counter, session_id)
    question = asked(counter, session_id)
    assert decide(counter, question["approval_id"], "approved_for_session").status_code == 409
    assert decide(counter, question["approval_id"], "maybe").status_code == 400
    assert decide(counter, question["approval_id"], "denied").json()["status"] == "denied"
    refused = request.result()
    assert (refused.status_code, refused.json()["error"]) == (
        403,
        "tool 'shop.refund' was not approved: denied",
    )


def test_a_person_at_the_command_line_answers(counter: Served) -> None:
    session_id = counter.start("shop.phone")
    for verb, status in (("approve", "approved"), ("deny", "denied")):
        request = ToolRequest(counter, session_id)
        question = asked(counter, session_id, after=verb == "deny")
        listed = af("session", "approvals", session_id, AGENTFIELD_SERVER=counter.url).json
        assert listed["approvals"][0]["approval_id"] == question["approval_id"]
        ran = af("session", verb, question["approval_id"], "--by", "alice", AGENTFIELD_SERVER=counter.url)
        assert ran.json["status"] == status
        request.result()
    ran = af("session", "approve", question["approval_id"], AGENTFIELD_SERVER=counter.url)
    assert ran.code == 2
    assert "denied already" in ran.complaint


def test_the_end_of_the_session_answers_whoever_waits(counter: Served) -> None:
    session_id = counter.start("shop.phone")
    request = ToolRequest(counter, session_id)
    question = asked(counter, session_id)
    counter.post(f"/api/v1/session-instances/{session_id}/close")
    assert request.result().json()["error"] == "tool 'shop.refund' was not approved: cancelled"
    assert decide(counter, question["approval_id"], "approved").status_code == 409


def test_an_approval_nobody_asked_for_is_not_found(counter: Served) -> None:
    counter.start("shop.phone")
    assert decide(counter, "appr_0", "approved").status_code == 404


def test_where_approvers_have_a_key_nobody_else_lists_or_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, monkeypatch, agents=[shop()], approver_key="sesame") as server:
        for headers in ({}, {"X-API-Key": ""}, {"X-API-Key": "sésame".encode()}):
            assert server.get("/api/v1/approvals", headers=headers).status_code == 403
            assert decide(server, "appr_0", "approved", headers=headers).status_code == 403
        assert server.get("/api/v1/approvals", headers={"X-API-Key": "sesame"}).status_code == 200
