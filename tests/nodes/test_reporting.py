"""What agents elsewhere report of their work, over HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.agents import plane, registration
from tests.nodes.peer import Heard, answer, peer


@pytest.mark.asyncio
async def test_a_failure_is_shown_as_its_agent_told_it_for_people_and_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plane(tmp_path, monkeypatch) as it, peer() as agent:
        agent.default = answer(202, {"status": "processing"})
        await it.post("/nodes/register", registration(agent.url))
        for details in ({"left": [0, 1]}, None):
            execution_id = await it.submit("worker.think")
            said = {"status": "failed", "error": "sold out", "error_details": details}
            assert (await it.post(f"/executions/{execution_id}/status", said)).status_code == 200
            found = await it.finished(execution_id)
            assert (found["error"], found.get("error_details")) == ("sold out", details)
        assert b"sold out" not in (tmp_path / "journal.db").read_bytes()


@pytest.mark.asyncio
async def test_whoever_waits_for_a_failure_is_answered_with_the_status_that_its_agent_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: asyncio.Queue[str] = asyncio.Queue()

    def dispatched(heard: Heard) -> None:
        if (execution_id := heard.headers.get("x-execution-id")) is not None:
            given.put_nowait(execution_id)

    async with plane(tmp_path, monkeypatch) as it, peer() as agent:
        agent.default = answer(202, {"status": "processing"})
        agent.when_heard = dispatched
        await it.post("/nodes/register", registration(agent.url))
        for said, answered in (
            (404, 404),
            (503, 503),
            *((odd, 502) for odd in (200, 600, True, "404", None)),
        ):
            waiting = asyncio.create_task(it.post("/execute/worker.think", {"input": {}}))
            report: dict[str, Any] = {"status": "failed", "error": "no such order", "error_status_code": said}
            told = await it.post(f"/executions/{await given.get()}/status", report)
            assert told.status_code == 200
            failed = await waiting
            assert (failed.status_code, failed.json()["error_message"]) == (answered, "no such order")


@pytest.mark.asyncio
async def test_what_waits_for_an_agent_is_counted_by_the_next_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer() as agent:
        agent.default = answer(503, {})
        async with plane(tmp_path, monkeypatch) as it:
            await it.post("/nodes/register", registration(agent.url))
            await it.post("/nodes/worker/shutdown")
            await it.submit("worker.think")
        async with plane(tmp_path, monkeypatch) as it:
            shown = (await it.client.get("/metrics")).text
            assert "agentfield_executions_waiting 1" in shown
            assert "agentfield_executions_open 1" in shown


@pytest.mark.asyncio
async def test_work_is_safe_under_any_name_of_a_run_and_the_server_s_own_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer() as agent:
        agent.default = answer(503, {})
        async with plane(tmp_path, monkeypatch) as it:
            await it.post("/nodes/register", registration(agent.url))
            await it.post("/nodes/worker/shutdown")
            for run_id, status in {
                "node_mine": 202,
                "webhook_mine": 202,
                "node_20261120_205646_0123456789abcdef": 400,
                "webhook_exec_mine": 400,
            }.items():
                headers = {"X-Run-ID": run_id}
                taken = await it.post("/execute/async/worker.think", {"input": {}}, headers=headers)
                assert taken.status_code == status, taken.text
                event = {"execution_id": "exec_1", "run_id": run_id, "reasoner_id": "r", "status": "running"}
                told = await it.post("/workflow/executions/events", event)
                assert told.status_code == (200 if status == 202 else 400)
        async with plane(tmp_path, monkeypatch) as it:
            shown = (await it.client.get("/metrics")).text
            assert "agentfield_executions_waiting 2" in shown
