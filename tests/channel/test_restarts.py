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

    def agent() -> Agent:
        app = Agent("far", server=f"http://127.0.0.1:{port}")

        @app.reasoner
        async def hello() -> str:
            return "hello"

        return app

    async with plane(tmp_path, port) as client:
        async with agent().connected():
            pass
        accepted = await client.post("/execute/async/far.hello", json={"input": {}})
        assert accepted.status_code == 202
        execution_id = accepted.json()["execution_id"]
        assert (await client.get(f"/executions/{execution_id}")).json()["status"] == "queued"
        async with agent().connected():
            assert (await ended(client, execution_id))["result"] == "hello"
