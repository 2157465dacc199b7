"""Work on its way to an agent: what it is sent, and what each of its answers means."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentfield_rt.errors import Reason
from agentfield_rt.plane.egress import EgressPolicy, HttpClient
from agentfield_rt.plane.executions.dispatch import (
    CapabilityKind,
    Dispatch,
    DispatchInDoubt,
    NodeUnreachable,
    Outcome,
)
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes.http_dispatch import ANSWER_BYTES_MAX, HttpDispatcher
from tests.nodes.peer import NOTHING, Peer, answer, peer

NO_ROUTE = "Not Found: what listens at the agent's address does not know it; another agent, perhaps"


def work(kind: CapabilityKind = CapabilityKind.SKILL, **more: Any) -> Dispatch:
    given: dict[str, Any] = {
        "execution_id": "exec_1",
        "run_id": "run_1",
        "name": "add",
        "arguments": {"a": 1},
    }
    return Dispatch(kind=kind, **{**given, **more})


@asynccontextmanager
async def agent(token: str | None = None) -> AsyncGenerator[tuple[Peer, HttpDispatcher, list[str]]]:
    suspected: list[str] = []
    client = HttpClient(EgressPolicy())
    async with peer() as it:
        yield (
            it,
            HttpDispatcher(
                base_url=it.url, client=client, unreachable=lambda: suspected.append("agent"), token=token
            ),
            suspected,
        )
        client.close()


@pytest.mark.asyncio
async def test_work_comes_as_the_bare_input_with_its_place_in_the_headers() -> None:
    async with agent(token="ours") as (it, dispatcher, _):
        it.default = answer(202, {"status": "processing"})
        await dispatcher.dispatch(
            work(CapabilityKind.REASONER, session_id="sess_1", actor_id="ada", parent_execution_id="exec_0")
        )
        (heard,) = it.heard
        assert (heard.method, heard.path, heard.json()) == ("POST", "/reasoners/add", {"a": 1})
        places = {name: value for name, value in heard.headers.items() if name.startswith("x-")}
        assert places == {
            "x-execution-id": "exec_1",
            "x-run-id": "run_1",
            "x-workflow-id": "run_1",
            "x-parent-execution-id": "exec_0",
            "x-session-id": "sess_1",
            "x-actor-id": "ada",
        }
        assert heard.headers["authorization"] == "Bearer ours"


def succeeded(result: Any) -> Outcome:
    return Outcome(status=ExecutionStatus.SUCCEEDED, result=result)


def used(result: Any, usage: Any) -> Outcome:
    return Outcome(status=ExecutionStatus.SUCCEEDED, result=result, usage=usage)


def failed(reason: Reason, error: str, details: Any = None) -> Outcome:
    return Outcome(status=ExecutionStatus.FAILED, reason=reason, error=error, error_details=details)


NO_JSON = "the agent answered 200 with what is no JSON"
REDIRECT = "the agent answered 302, a redirect; none is followed"
PROBLEMS = {"detail": [{"loc": ["a"]}]}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (answer(202, {"status": "processing"}), None),
        (answer(200, {"sum": 3}), succeeded({"sum": 3})),
        (answer(200, [1]), succeeded([1])),
        (answer(200, None), succeeded(None)),
        (answer(204, b""), succeeded(None)),
        (answer(200, {"sum": 3, "__agentfield_usage__": {"entries": []}}), used({"sum": 3}, {"entries": []})),
        (answer(200, b"<html>"), failed(Reason.PROTOCOL, NO_JSON)),
        (answer(302, b""), failed(Reason.PROTOCOL, REDIRECT)),
        (answer(400, {"detail": "no"}), failed(Reason.INVALID_REQUEST, "no")),
        (answer(404, {"detail": "no such order"}), failed(Reason.NOT_FOUND, "no such order")),
        (answer(404, {"detail": "Not Found"}), failed(Reason.NOT_FOUND, NO_ROUTE)),
        (
            answer(403, {"detail": {"error": "no", "error_details": {"by": "policy"}}}),
            failed(Reason.UNAUTHORIZED, "no", {"by": "policy"}),
        ),
        (answer(422, PROBLEMS), failed(Reason.INVALID_REQUEST, '{"detail":[{"loc":["a"]}]}')),
        (answer(500, b"Server Error"), failed(Reason.HANDLER_ERROR, "Server Error")),
        (answer(500, b""), failed(Reason.HANDLER_ERROR, "the agent answered 500")),
        (answer(499, {}), Outcome(status=ExecutionStatus.CANCELLED, reason=Reason.CANCELLED)),
    ],
)
async def test_an_answer_is_an_outcome_or_that_one_will_follow(said: bytes, outcome: Outcome | None) -> None:
    async with agent() as (it, dispatcher, _):
        it.default = said
        assert await dispatcher.dispatch(work()) == outcome


@pytest.mark.asyncio
async def test_an_answer_that_cannot_be_taken_is_a_failure_and_not_asked_for_again() -> None:
    async with agent() as (it, dispatcher, _):
        for said, why in (
            (answer(200, b"x" * ANSWER_BYTES_MAX + b"x"), "larger"),
            (b"SSH-2.0\r\n", "not HTTP"),
        ):
            it.default = said
            outcome = await dispatcher.dispatch(work())
            assert outcome is not None
            assert (outcome.status, outcome.reason) == (ExecutionStatus.FAILED, Reason.PROTOCOL)
            assert why in (outcome.error or "")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "means"),
    [
        (answer(429, {}), NodeUnreachable),
        (answer(503, {}), NodeUnreachable),
        (answer(502, {}), DispatchInDoubt),
        (answer(504, {}), DispatchInDoubt),
        (NOTHING, DispatchInDoubt),
    ],
)
async def test_whether_an_agent_has_begun_is_known_or_in_doubt(said: bytes, means: type[Exception]) -> None:
    async with agent() as (it, dispatcher, _):
        it.default = said
        with pytest.raises(means):
            await dispatcher.dispatch(work())
        assert len(it.heard) == 1


@pytest.mark.asyncio
async def test_an_agent_that_does_not_listen_yet_is_tried_for_a_moment_and_then_asked_after() -> None:
    async with peer() as it:
        url = it.url
    suspected: list[str] = []
    client = HttpClient(EgressPolicy())
    dispatcher = HttpDispatcher(base_url=url, client=client, unreachable=lambda: suspected.append("agent"))
    with pytest.raises(NodeUnreachable):
        await dispatcher.dispatch(work())
    assert suspected == ["agent"]
    with pytest.raises(NodeUnreachable):
        await dispatcher.cancel("exec_1")
    elsewhere = HttpDispatcher(base_url="http://10.0.0.1", client=client, unreachable=lambda: None)
    with pytest.raises(NodeUnreachable, match="AGENTFIELD_RT_AGENT_HOSTS"):
        await elsewhere.dispatch(work())


@pytest.mark.asyncio
async def test_an_agent_is_asked_to_stop_by_the_execution_s_id() -> None:
    async with agent() as (it, dispatcher, _):
        await dispatcher.cancel("exec/1")
        assert it.heard[0].path == "/_internal/executions/exec%2F1/cancel"
        assert it.heard[0].headers["x-agentfield-source"] == "control-plane"


@pytest.mark.asyncio
async def test_an_id_that_no_header_can_hold_is_the_caller_s_fault() -> None:
    async with agent() as (it, dispatcher, _):
        outcome = await dispatcher.dispatch(work(actor_id="ada\r\nX-Admin: yes"))
        assert outcome is not None
        assert (outcome.reason, it.heard) == (Reason.INVALID_REQUEST, [])


@pytest.mark.asyncio
async def test_skills_that_take_their_time_do_not_keep_each_other_waiting() -> None:
    async with agent() as (it, dispatcher, _):
        it.hold = asyncio.Event()
        everybody = asyncio.Event()

        def count(_: object) -> None:
            if len(it.heard) == 20:
                everybody.set()

        it.when_heard = count
        tasks = [asyncio.create_task(dispatcher.dispatch(work(execution_id=f"exec_{n}"))) for n in range(20)]
        async with asyncio.timeout(5):
            await everybody.wait()
        it.hold.set()
        assert {outcome.status for outcome in await asyncio.gather(*tasks) if outcome} == {
            ExecutionStatus.SUCCEEDED
        }
