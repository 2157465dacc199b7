"""A plane that ends and another that begins, under an agent that goes on."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_rt import Agent
from agentfield_rt.config import Settings
from agentfield_rt.plane.server import serve_async
from tests.nodes.agents import registration


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def plane(data: Path, port: int) -> AsyncGenerator[httpx.AsyncClient]:
    """A control plane in this loop, and a client of it."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = Settings(port=port, data=data, agent_lease_s=2)
    serving = asyncio.create_task(serve_async([], settings, on_ready=ready.set_result))
    await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        await serving
    try:
        async with httpx.AsyncClient(base_url=f"{ready.result()}/api/v1", timeout=10) as client:
            yield client
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def ended(client: httpx.AsyncClient, execution_id: str) -> dict[str, Any]:
    while True:
        execution: dict[str, Any] = (await client.get(f"/executions/{execution_id}")).json()
        if execution["status"] not in ("queued", "running"):
            return execution


@pytest.mark.asyncio
async def test_what_an_agent_was_doing_is_recorded_by_the_next_plane_and_runs_once(tmp_path: Path) -> None:
    port = free_port()
    app = Agent("far", server=f"http://127.0.0.1:{port}")
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), 0

    @app.reasoner
    async def slow() -> int:
        nonlocal runs
        runs += 1
        begun.set()
        await go_on.wait()
        return runs

    @app.reasoner
    async def calls() -> int:
        return int(await app.call("far.slow"))

    async with plane(tmp_path, port) as client:
        connecting = app.connected()
        await connecting.__aenter__()
        accepted = await client.post("/execute/async/far.calls", json={"input": {}})
        execution_id = accepted.json()["execution_id"]
        await begun.wait()
    try:
        async with plane(tmp_path, port) as client:
            go_on.set()
            execution = await ended(client, execution_id)
            assert (execution["status"], execution["result"]) == ("succeeded", 1)
            assert runs == 1
    finally:
        await connecting.__aexit__(None, None, None)


@pytest.mark.asyncio
async def test_work_waits_for_an_agent_that_is_away(tmp_path: Path) -> None:
    port = free_port()
    async with plane(tmp_path, port) as client:
        async with far(port).connected():
            pass
        accepted = await client.post("/execute/async/far.hello", json={"input": {}})
        assert accepted.status_code == 202
        execution_id = accepted.json()["execution_id"]
        assert (await client.get(f"/executions/{execution_id}")).json()["status"] == "queued"
        async with far(port).connected():
            assert (await ended(client, execution_id))["result"] == "hello"


def far(port: int, runs: list[str] | None = None) -> Agent:
    app = Agent("far", server=f"http://127.0.0.1:{port}")

    @app.reasoner
    async def hello() -> str:
        if runs is not None:
            runs.append("hello")
        return "hello"

    return app


@pytest.mark.asyncio
async def test_a_plane_that_starts_remembers_an_agent_that_is_away(tmp_path: Path) -> None:
    port, runs = free_port(), list[str]()
    async with plane(tmp_path, port), far(port).connected():
        pass
    async with plane(tmp_path, port) as client:
        assert (await client.get("/nodes/far")).json()["lifecycle_status"] == "offline"
        accepted = await client.post("/execute/async/far.hello", json={"input": {}})
        assert accepted.status_code == 202
        async with far(port, runs).connected():
            assert (await ended(client, accepted.json()["execution_id"]))["result"] == "hello"
            assert runs == ["hello"]
            assert (await client.delete("/nodes/far")).status_code == 409


@pytest.mark.asyncio
async def test_an_agent_that_is_forgotten_while_it_is_away_is_let_in_again(tmp_path: Path) -> None:
    port = free_port()
    async with plane(tmp_path, port) as client:
        async with far(port).connected():
            pass
        assert (await client.delete("/nodes/far")).status_code == 200
        assert (await client.post("/execute/async/far.hello", json={"input": {}})).status_code == 404
    async with plane(tmp_path, port) as client:
        assert (await client.get("/nodes/far")).status_code == 404
        async with far(port).connected():
            accepted = await client.post("/execute/async/far.hello", json={"input": {}})
            assert (await ended(client, accepted.json()["execution_id"]))["result"] == "hello"


@pytest.mark.asyncio
async def test_a_node_that_comes_over_http_takes_the_place_of_one_that_was_connected(tmp_path: Path) -> None:
    port = free_port()
    body = registration("http://127.0.0.1:9", id="far")
    async with plane(tmp_path, port) as client:
        async with far(port).connected():
            assert (await client.post("/nodes/register", json=body)).status_code == 409
        assert (await client.post("/nodes/register", json=body)).status_code == 200
    async with plane(tmp_path, port) as client:
        assert (await client.get("/nodes/far")).json()["base_url"] == "http://127.0.0.1:9"


@pytest.mark.asyncio
async def test_an_agent_that_connects_takes_the_place_of_one_that_left_over_http(tmp_path: Path) -> None:
    port = free_port()
    async with plane(tmp_path, port) as client:
        await client.post("/nodes/register", json=registration("http://127.0.0.1:9", id="far"))
        await client.post("/nodes/far/shutdown", json={})
        async with far(port).connected():
            assert (await client.get("/nodes/far")).json()["base_url"] is None
            assert (await client.post("/nodes/far/heartbeat", json={})).status_code == 404
    async with plane(tmp_path, port) as client:
        found = (await client.get("/nodes/far")).json()
        assert (found["base_url"], found["lifecycle_status"]) == (None, "offline")
