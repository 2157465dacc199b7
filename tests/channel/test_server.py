"""An agent with a server: over a real websocket, against a real control plane."""

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from agentfield_rt import Agent, ExecutionFailed, RealtimeError, RealtimeSession, Reason
from agentfield_rt.agent import AgentRouter
from agentfield_rt.agent.remote import requests
from agentfield_rt.channel.wire import ServerRefused
from tests.plane.serving import Served, served


class Order(BaseModel):
    number: int


def far(server: Served, node_id: str = "far") -> Agent:
    """An agent elsewhere, which calls the server's own."""
    app = Agent(node_id, server=server.url, description="elsewhere", tags=["far"])
    router = AgentRouter(prefix="orders", tags=["orders"])

    @router.reasoner
    async def find(order: Order) -> Order:
        return Order(number=order.number + 1)

    @app.reasoner
    async def doubled_there(number: int) -> dict[str, Any]:
        app.note("asks", ["test"])
        return {"doubled": await app.call("desk.double", number=number)}

    @app.reasoner()
    async def fails() -> None:
        raise ValueError("SECRET")

    @app.skill(tags=["sums"])
    def add(a: int, b: int = 1) -> int:
        """Adds."""
        return a + b

    @app.session("phone", provider="local", transport="websocket")
    async def phone(session: RealtimeSession) -> None:
        async for turn in session.turns():
            result = await session.call(f"{node_id}.doubled_there", number=len(turn.text))
            await session.say(f"{turn.text}: {result['doubled']}")

    app.include_router(router)
    return app


def ask(server: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=10)


async def ended(client: httpx.AsyncClient, execution_id: str) -> dict[str, Any]:
    while True:
        execution: dict[str, Any] = (await client.get(f"/executions/{execution_id}")).json()
        if execution["status"] not in ("queued", "running"):
            return execution


async def execute(client: httpx.AsyncClient, target: str, **given: Any) -> dict[str, Any]:
    answer = await client.post(f"/execute/async/{target}", json={"input": given})
    assert answer.status_code == 202, answer.text
    return await ended(client, answer.json()["execution_id"])


@pytest.mark.asyncio
async def test_what_is_asked_of_the_server_is_done_elsewhere(server: Served) -> None:
    async with far(server).connected(), ask(server) as client:
        assert (await execute(client, "far.doubled_there", number=4))["result"] == {"doubled": 8}
        assert (await execute(client, "far.add", a=4))["result"] == 5
        assert (await execute(client, "far.orders_find", order={"number": 6}))["result"] == {"number": 7}
        failed = await execute(client, "far.fails")
        assert (failed["status"], failed["status_reason"]) == ("failed", "handler_error")
        wrong = await execute(client, "far.add", a="x")
        assert wrong["status_reason"] == "invalid_request"


@pytest.mark.asyncio
async def test_discovery_tells_of_it_as_of_any_agent(server: Served) -> None:
    async with far(server).connected(), ask(server) as client:
        found = (await client.get("/discovery/capabilities", params={"agent": "far"})).json()
        (agent,) = found["capabilities"]
        assert [reasoner["id"] for reasoner in agent["reasoners"]] == [
            "doubled_there",
            "fails",
            "orders_find",
        ]
        assert agent["skills"][0]["id"] == "add"
        assert agent["skills"][0]["tags"] == ["sums"]


@pytest.mark.asyncio
async def test_a_call_outside_of_everything_is_a_run_of_its_own(server: Served) -> None:
    app = far(server)
    async with app.connected():
        assert await app.call("desk.double", number=21) == 42
        with pytest.raises(ExecutionFailed) as missing:
            await app.call("desk.nothing")
        assert missing.value.reason is Reason.INVALID_REQUEST
        with pytest.raises(ExecutionFailed) as failed:
            await app.call("desk.fails", secret="SECRET")
        assert failed.value.reason is Reason.HANDLER_ERROR
        assert failed.value.error == "ValueError: SECRET"
        assert "SECRET" not in str(failed.value)


@pytest.mark.asyncio
async def test_a_session_of_the_server_is_handled_elsewhere_and_lands_in_one_workflow(
    server: Served,
) -> None:
    async with far(server).connected(), ask(server) as client:
        started = (await client.post("/session-targets/far.phone/start")).json()
        session = f"/session-instances/{started['session_id']}"
        typed = await client.post(f"{session}/input", json={"text": "hello"})
        assert typed.status_code in (200, 201, 202), typed.text
        async with client.stream("GET", f"{session}/events") as events:
            async for line in events.aiter_lines():
                if '"utterance_played"' in line:
                    assert "hello: 10" in line
                    break
        await client.post(f"{session}/close")
        found = await client.post(
            "/agentic/query",
            json={"resource": "executions", "filters": {"session_id": started["session_id"]}},
        )
        assert len(found.json()["data"]["results"]) == 2


@pytest.mark.asyncio
async def test_a_node_of_the_servers_own_process_is_nobody_elses(server: Served) -> None:
    with pytest.raises(ServerRefused, match="'desk' is known here and is not reached over a channel"):
        async with Agent("desk", server=server.url).connected():
            pass


@pytest.mark.asyncio
async def test_an_agent_without_a_server_cannot_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTFIELD_SERVER", raising=False)
    with pytest.raises(RealtimeError, match="agent far has no server"):
        async with Agent("far").connected():
            pass


@pytest.mark.asyncio
async def test_the_wrong_key_is_refused_and_the_right_one_is_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, monkeypatch, api_keys={"ops": "k" * 32}) as guarded:
        with pytest.raises(ServerRefused, match="answers 401"):
            async with Agent("far", server=guarded.url, api_key="wrong").connected():
                pass
        monkeypatch.setenv("AGENTFIELD_API_KEY", "k" * 32)
        async with far(guarded).connected():
            pass


@pytest.mark.asyncio
async def test_an_agent_that_leaves_ends_what_it_is_doing_first(server: Served) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    app = Agent("leaver", server=server.url)

    @app.reasoner
    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async with ask(server) as client:
        async with app.connected():
            accepted = await client.post("/execute/async/leaver.slow", json={"input": {}})
            await begun.wait()
            go_on.set()
        assert (await ended(client, accepted.json()["execution_id"]))["result"] == "done"


def test_the_protocol_is_published_as_json_schema(server: Served) -> None:
    schema = server.get("/api/v1/channel/schema").json()
    assert schema["version"] == 1
    assert schema["$defs"]["Hello"]["properties"]["type"] == {"enum": ["hello"]}
    assert {"frame_to_plane", "frame_to_agent"} <= schema["$defs"].keys()


class Waiting:
    """A reasoner that waits for ever, and what became of it."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def canceller(server: Served) -> tuple[Agent, Waiting]:
    """An agent whose reasoner `waits` for ever, and whose `gives_up` waits for that until it has begun."""
    app, waiting = Agent("canceller", server=server.url), Waiting()

    @app.reasoner
    async def waits() -> None:
        await waiting()

    @app.reasoner
    async def gives_up() -> str:
        calling = asyncio.create_task(app.call("canceller.waits"))
        await waiting.begun.wait()
        calling.cancel()
        await asyncio.wait([calling])
        return "gave up"

    return app, waiting


@pytest.mark.asyncio
async def test_an_execution_is_cancelled_where_it_runs(server: Served) -> None:
    app, waiting = canceller(server)
    async with app.connected(), ask(server) as client:
        accepted = await client.post("/execute/async/canceller.waits", json={"input": {}})
        execution_id = accepted.json()["execution_id"]
        await waiting.begun.wait()
        assert (await client.post(f"/executions/{execution_id}/cancel", json={})).is_success
        await waiting.cancelled.wait()
        assert (await ended(client, execution_id))["status"] == "cancelled"


@pytest.mark.asyncio
async def test_what_is_called_is_cancelled_with_the_wait_for_it(server: Served) -> None:
    app, waiting = canceller(server)
    async with app.connected(), ask(server) as client:
        assert (await execute(client, "canceller.gives_up"))["result"] == "gave up"
        await waiting.cancelled.wait()


@pytest.mark.asyncio
async def test_an_agent_may_give_up_as_many_calls_as_it_likes(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "REQUESTS_MAX", 5)
    app, _ = canceller(server)
    async with app.connected():
        for _ in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await app.call("canceller.waits")
            assert await app.call("desk.double", number=21) == 42
