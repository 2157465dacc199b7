"""How much memory a plane holds that does nothing: by itself, for each connected agent and live session.

    python -m benchmarks.plane_idle --agents 100 --sessions 200

The plane is a server process of its own. Agents are connected over real sockets, in two ways: as AgentField's
own SDK does (registered, its websocket for changes of memory open, a heartbeat sent), and over our channel. A
session has a socket to a real provider process and a handler that waits, and no media. A few of each are made
before any is counted: what a first one loads or allocates for all is nobody's.

Bars: 120 MB; 100 KB for an agent; 100 KB for a session.
"""

import argparse
import asyncio
import contextlib
import statistics
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import httpx
from websockets.asyncio.client import connect

from agentfield_rt import Agent
from agentfield_rt.agent.remote.serving import connected
from benchmarks.plane_process import PlaneProcess, plane_process, start_session

IDLE_BAR_MB, EACH_BAR_KB = 120, 100
WARM = 10
TOGETHER = 20
SETTLE_S, SAMPLES = 1.0, 5

Make = Callable[[int, contextlib.AsyncExitStack], Awaitable[None]]


async def resident_bytes(plane: PlaneProcess) -> float:
    """The median over a few seconds: what a request allocates for a moment is not held."""
    found: list[int] = []
    for _ in range(SAMPLES):
        await asyncio.sleep(SETTLE_S)
        found.append(plane.resident_bytes())
    return statistics.median(found)


async def each_bytes(plane: PlaneProcess, make: Make, count: int, stack: contextlib.AsyncExitStack) -> float:
    """By how much the plane grows with each of `count`."""
    for number in range(WARM):
        await make(number, stack)
    before = await resident_bytes(plane)
    for start in range(WARM, WARM + count, TOGETHER):
        numbers = range(start, min(start + TOGETHER, WARM + count))
        await asyncio.gather(*(make(number, stack) for number in numbers))
    return (await resident_bytes(plane) - before) / count


@contextlib.asynccontextmanager
async def asking(plane: PlaneProcess) -> AsyncGenerator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=TOGETHER)
    async with httpx.AsyncClient(base_url=plane.url, timeout=60, limits=limits) as client:
        yield client


def sdk_agents(plane: PlaneProcess, client: httpx.AsyncClient) -> Make:
    """As the published SDK connects."""

    async def make(number: int, stack: contextlib.AsyncExitStack) -> None:
        node_id = f"sdk-agent-{number}"
        capability: dict[str, Any] = {
            "id": "reply",
            "input_schema": {"type": "object"},
            "output_schema": {},
            "tags": [],
        }
        body: dict[str, Any] = {
            "id": node_id,
            "team_id": "default",
            "base_url": "http://127.0.0.1:9",
            "version": "1.0.0",
            "reasoners": [capability],
            "skills": [capability | {"id": "look_up"}],
            "instance_id": f"instance-{number}",
            "lifecycle_status": "starting",
            "health_status": "healthy",
            "communication_config": {"protocols": ["http"], "heartbeat_interval": "2s"},
            "features": {},
            "metadata": {},
        }
        (await client.post("/api/v1/nodes/register", json=body)).raise_for_status()
        url = plane.url.replace("http", "ws", 1)
        await stack.enter_async_context(connect(f"{url}/api/v1/memory/events/ws"))
        beat = {"status": "ready", "version": "1.0.0", "instance_id": f"instance-{number}"}
        (await client.post(f"/api/v1/nodes/{node_id}/heartbeat", json=beat)).raise_for_status()

    return make


def channel_agents(plane: PlaneProcess) -> Make:
    """As agents of this package connect."""

    async def make(number: int, stack: contextlib.AsyncExitStack) -> None:
        app = Agent(f"agent-{number}", server=plane.url)

        @app.reasoner()
        async def reply(text: str) -> str:
            return text

        await stack.enter_async_context(connected(app))

    return make


def sessions(client: httpx.AsyncClient) -> Make:
    async def make(number: int, stack: contextlib.AsyncExitStack) -> None:
        await start_session(client)

    return make


def tell(what: str, amount: float, unit: str, bar: int) -> None:
    print(f"{what:<28} {amount:8.1f} {unit}   (bar: {bar} {unit})", flush=True)


async def main(agents: int, session_count: int) -> None:
    async with plane_process() as plane:
        tell("an idle plane", await resident_bytes(plane) / 1e6, "MB", IDLE_BAR_MB)
        async with contextlib.AsyncExitStack() as stack, asking(plane) as client:
            for what, make, count in (
                ("an agent of AgentField's SDK", sdk_agents(plane, client), agents),
                ("an agent over the channel", channel_agents(plane), agents),
                ("a session without media", sessions(client), session_count),
            ):
                tell(what, await each_bytes(plane, make, count, stack) / 1e3, "KB", EACH_BAR_KB)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=200)
    given = parser.parse_args()
    asyncio.run(main(given.agents, given.sessions))
