"""Agents as processes of their own, the way their users run them; killed, and told to stop."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from agentfield_adapters.local.running import LocalProvider
from agentfield_rt.config import Settings
from tests.channel.test_restarts import free_port
from tests.examples.test_documentation import EXAMPLES, called, server


@asynccontextmanager
async def agent_of(script: Path, url: str) -> AsyncGenerator[Process]:
    """A script that is connected to the server."""
    environment = {**os.environ, "AGENTFIELD_SERVER": url}
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=PIPE, env=environment)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert "is connected to" in line, line
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.asyncio
async def test_a_call_outlives_the_process_that_handled_it(
    af_provider: LocalProvider, tmp_path: Path
) -> None:
    settings = Settings(port=free_port(), data=tmp_path, local_url=af_provider.url, agent_lease_s=1)
    phone = EXAMPLES / "phone.py"
    async with (
        server(settings) as url,
        agent_of(phone, url) as first,
        agent_of(phone, url) as second,
        httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as client,
        called(client, "kiosk.phone") as call,
    ):
        assert await call.asks("one") == "You said: one"
        first.kill()
        await first.wait()
        assert await call.asks("two") == "You said: two"
        third = agent_of(phone, url)
        await third.__aenter__()
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0
        assert await call.asks("three") == "You said: three"
        await third.__aexit__(None, None, None)


@pytest.mark.asyncio
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_an_agent_whose_server_is_not_there_says_so_and_stops_when_it_is_told_to(
    told: signal.Signals,
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    environment = {**os.environ, "AGENTFIELD_SERVER": url}
    phone = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / "phone.py"), stdout=PIPE, stderr=PIPE, env=environment
    )
    assert phone.stderr is not None
    try:
        async with asyncio.timeout(20):
            assert b"is not connected, and tries on" in await phone.stderr.readline()
            phone.send_signal(told)
            assert await phone.wait() == 0
            assert await phone.stderr.read() == b""
    finally:
        if phone.returncode is None:
            phone.kill()
            await phone.wait()


@pytest.mark.asyncio
async def test_an_agent_whose_key_is_wrong_says_so_in_a_line_and_ends(tmp_path: Path) -> None:
    settings = Settings(port=free_port(), data=tmp_path, api_keys={"ops": SecretStr("k" * 32)})
    async with server(settings) as url:
        environment = {**os.environ, "AGENTFIELD_SERVER": url, "AGENTFIELD_API_KEY": "wrong"}
        phone = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLES / "phone.py"), stdout=PIPE, stderr=PIPE, env=environment
        )
        said, why = await asyncio.wait_for(phone.communicate(), 20)
    assert (phone.returncode, said) == (3, b"")
    (line,) = why.decode().splitlines()
    assert line.endswith("answers 401; is it a control plane, and the key right?")


@pytest.mark.asyncio
async def test_an_agent_that_is_told_to_stop_twice_stops_at_once(tmp_path: Path) -> None:
    settings = Settings(port=free_port(), data=tmp_path)
    async with (
        server(settings) as url,
        agent_of(Path(__file__).parent / "stubborn.py", url) as agent,
        httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as client,
    ):
        assert agent.stdout is not None
        await client.post("/execute/async/stubborn.never_ends", json={"input": {}})
        assert await agent.stdout.readline() == b"begun\n"
        agent.send_signal(signal.SIGINT)
        while (await client.get("/nodes/stubborn")).json()["lifecycle_status"] == "ready":
            pass  # until it leaves
        agent.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(agent.wait(), 20) == -signal.SIGINT
