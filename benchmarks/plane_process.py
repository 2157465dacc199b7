"""A control plane in a process of its own, as users run one, and how much memory it holds.

    python -m benchmarks.plane_process DATA PROVIDER      # serves on a free port and prints where

Its provider is a third process, over real sockets, with senses that load no model: real ones take 20 MB for
each session there, which is none of the plane's.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx

from agentfield_adapters.local.running import running_provider
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.plane.server import serve_async

READY_MAX_S = 60.0
SESSIONS_MAX = 5_000


def agent() -> Agent:
    """With a session over a socket to the provider on this machine; its handler listens and says nothing."""
    app = Agent("desk")

    @app.session("listens", provider="local", transport="websocket")
    async def listens(session: RealtimeSession) -> None:
        async for _ in session.turns():
            pass

    return app


def main(data: str, provider: str) -> None:
    settings = Settings(port=0, data=Path(data), local_url=provider, sessions_max=SESSIONS_MAX)
    asyncio.run(serve_async([agent()], settings, on_ready=lambda url: print(url, flush=True)))


@dataclass(frozen=True, slots=True)
class PlaneProcess:
    """A server that runs."""

    url: str
    pid: int

    def resident_bytes(self) -> int:
        """What the server itself holds; its provider is another process."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextlib.asynccontextmanager
async def plane_process() -> AsyncGenerator[PlaneProcess]:
    """A server with a journal on the disk; it is told to stop at the end."""
    with tempfile.TemporaryDirectory() as data, running_provider() as provider:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.plane_process", data, provider.url, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_MAX_S):
                url = (await process.stdout.readline()).decode().strip()
            yield PlaneProcess(url, process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # asked to stop, it would wait for its calls to end
            await process.wait()


async def start_session(client: httpx.AsyncClient) -> str:
    """A live session: started, connected with its provider, its handler waiting for the next turn."""
    started = await client.post("/api/v1/session-targets/desk.listens/start")
    started.raise_for_status()
    session_id = str(started.json()["session_id"])
    said = await client.post(f"/api/v1/session-instances/{session_id}/input", json={"text": "hello"})
    said.raise_for_status()
    return session_id


if __name__ == "__main__":
    main(*sys.argv[1:])
