"""The example of an agent in JavaScript, which knows no more of the channel than its documentation says."""

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from agentfield_adapters.local.running import LocalProvider
from agentfield_rt.config import Settings
from tests.channel.test_restarts import free_port
from tests.examples.test_documentation import called, server

AGENT = Path(__file__).parents[2] / "examples" / "agent.mjs"
NODE = shutil.which("node")


class Line:
    """A way to a server, which a test can cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = set[asyncio.StreamWriter]()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, there_writer}
        await asyncio.gather(self._pass_on(reader, there_writer), self._pass_on(there_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(65_536):
                writer.write(some)
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        """From one moment to the next."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()


@asynccontextmanager
async def line_to(port: int) -> AsyncGenerator[tuple[Line, str]]:
    line = Line(port)
    listening = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    try:
        yield line, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        line.cut()


@asynccontextmanager
async def javascript(url: str) -> AsyncGenerator[Process]:
    assert NODE is not None
    environment = {**os.environ, "AGENTFIELD_SERVER": url}
    process = await asyncio.create_subprocess_exec(
        NODE, "--experimental-websocket", str(AGENT), stdout=PIPE, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def says(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode()


@pytest.mark.skipif(NODE is None, reason="no node is installed")
@pytest.mark.asyncio
async def test_an_agent_in_javascript_answers_and_goes_on_when_its_wire_broke(
    af_provider: LocalProvider, tmp_path: Path
) -> None:
    settings = Settings(port=free_port(), data=tmp_path, local_url=af_provider.url)
    async with (
        server(settings) as url,
        line_to(settings.port) as (line, way),
        javascript(way) as agent,
        httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as client,
    ):
        assert "is connected to" in await says(agent)
        async with called(client, "js.voice") as call:
            assert await call.asks("one") == "You said: one"
            line.cut()
            assert await call.asks("two") == "You said: two"
            assert "again" in await says(agent)
            assert await call.executions() == ["echo", "echo"]
