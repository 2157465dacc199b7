"""Executions over HTTP, an agent on a real socket, and a plane that gets SIGKILL again and again.

One submitter uses the same run id all the time, so that its run has mostly ended. Each execution has a
webhook, which the agent's server takes as well: the plane may die before it is told, while it is and after.

`python -m tests.plane.executions.kills 200` is the campaign.
"""

import asyncio
import contextlib
import json
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ROOT = Path(__file__).parents[3]
SUBMITTERS = 4
ACCEPTED_BETWEEN = (1, 40)
"""A plane is killed when so many more submits were answered."""
SETTLE_MAX_S = 60.0

Hook = tuple[str, bytes]
"""The delivery id and the body of a webhook."""


@dataclass
class Told:
    """What somebody outside knows.

    Attributes:
        accepted: Executions whose submit was answered 202.
        given: How often the agent was given each.
        ended: Executions whose report was answered 200.
        again: Those that were given after that.
        finals: What a poll said of them.
        hooks: What the webhook of each execution brought, and how often.
        hooked: Set when a webhook comes.
        more: Released for each that was accepted.
        up: Set while a plane serves.
    """

    accepted: set[str] = field(default_factory=set[str])
    given: Counter[str] = field(default_factory=Counter[str])
    ended: set[str] = field(default_factory=set[str])
    again: list[str] = field(default_factory=list[str])
    finals: dict[str, str] = field(default_factory=dict[str, str])
    hooks: dict[str, Counter[tuple[str, bytes]]] = field(
        default_factory=dict[str, "Counter[tuple[str, bytes]]"]
    )
    hooked: asyncio.Event = field(default_factory=asyncio.Event)
    kills: int = 0
    more: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    up: asyncio.Event = field(default_factory=asyncio.Event)

    def __str__(self) -> str:
        twice = sum(count > 1 for count in self.given.values())
        return (
            f"{self.kills} kills, {len(self.accepted)} accepted, {len(self.lost())} lost, "
            f"{len(self.again)} given after their end, {twice} given twice before it; "
            f"{len(self.hooks)} webhooks told, {len(self.untold())} not, {len(self.told_otherwise())} in two "
            f"ways, {sum(hooks.total() > 1 for hooks in self.hooks.values())} more than once"
        )

    def lost(self) -> set[str]:
        """What was accepted and did not come to the end that it should."""
        return {each for each in self.accepted if self.finals.get(each) != "succeeded"}

    def untold(self) -> set[str]:
        """What was accepted and whose webhook never came."""
        return self.accepted - self.hooks.keys()

    def told_otherwise(self) -> list[str]:
        """Those whose webhook came under two ids, or with two bodies: nobody could take that once."""
        return [each for each, hooks in self.hooks.items() if len(hooks) > 1]


class Agent:
    """Answers 202 and reports as AgentField's SDK does: again until the plane has taken it."""

    def __init__(self, told: Told, plane_url: str) -> None:
        self._told = told
        self._client = httpx.AsyncClient(base_url=plane_url, timeout=10)
        self._reports: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/reasoners/work", self._work, methods=["POST"]),
                Route("/status", self._status, methods=["GET"]),
                Route("/hook", self._hook, methods=["POST"]),
            ]
        )

    async def _status(self, request: Request) -> JSONResponse:
        return JSONResponse({"status": "running", "node_id": "far"})

    async def _hook(self, request: Request) -> JSONResponse:
        body = await request.body()
        hooks = self._told.hooks.setdefault(json.loads(body)["execution_id"], Counter())
        hooks[request.headers["x-agentfield-delivery-id"], body] += 1
        self._told.hooked.set()
        return JSONResponse({})

    async def _work(self, request: Request) -> JSONResponse:
        execution_id = request.headers["x-execution-id"]
        self._told.given[execution_id] += 1
        if execution_id in self._told.ended:
            self._told.again.append(execution_id)
        await request.json()
        task = asyncio.create_task(self._report(execution_id))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
        return JSONResponse({"status": "processing", "execution_id": execution_id}, 202)

    async def _report(self, execution_id: str) -> None:
        body = {"status": "succeeded", "result": ["done", execution_id], "duration_ms": 1}
        while True:
            await self._told.up.wait()
            with contextlib.suppress(httpx.HTTPError):
                answer = await self._client.post(f"/api/v1/executions/{execution_id}/status", json=body)
                if answer.status_code == 200:
                    self._told.ended.add(execution_id)
                    return
                assert answer.status_code >= 500, (answer.status_code, answer.text)

    async def close(self) -> None:
        for report in self._reports:
            report.cancel()
        await self._client.aclose()


@contextlib.asynccontextmanager
async def serving(app: Starlette) -> AsyncGenerator[int]:
    """An agent's server on this loop; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await running


class Planes:
    """One plane after the other over the same data directory, on the same port."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def start(self) -> None:
        """Returns once it serves."""
        line = await self._order("start")
        while "http://" not in line:
            assert line, "the plane did not start"
            line = await self._read()

    async def kill(self) -> None:
        """Returns once it is gone."""
        line = await self._order("kill")
        while line != "killed\n":
            line = await self._read()

    async def _order(self, word: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        return await self._read()

    async def _read(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 30)).decode()


async def campaign(rounds: int, data: Path, *, seed: int = 0) -> Told:
    """So many kills while work is submitted all the time; then all of it may come to its end."""
    chance, told = random.Random(seed), Told()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    agent = Agent(told, url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.plane.executions.killed_plane",
        str(data),
        str(port),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    planes = Planes(process)
    try:
        async with serving(agent.app()) as agent_port, httpx.AsyncClient(base_url=url, timeout=10) as client:
            await planes.start()
            told.up.set()
            await _register(client, agent_port)
            hook = f"http://127.0.0.1:{agent_port}/hook"
            places: list[dict[str, str]] = [{"X-Run-ID": "run_again"}, *[{}] * (SUBMITTERS - 1)]
            submitters = [asyncio.create_task(_submit(client, told, hook, place)) for place in places]
            for _ in range(rounds):
                for _ in range(chance.randint(*ACCEPTED_BETWEEN)):
                    await told.more.acquire()
                told.up.clear()
                await planes.kill()
                told.kills += 1
                await planes.start()
                told.up.set()
            for submitter in submitters:
                submitter.cancel()
            await _settle(client, told)
    finally:
        await agent.close()
        assert process.stdin is not None
        process.stdin.close()  # it ends its last plane, and itself
        await process.wait()
    return told


async def _register(client: httpx.AsyncClient, port: int) -> None:
    body: dict[str, Any] = {
        "id": "far",
        "base_url": f"http://127.0.0.1:{port}",
        "version": "1",
        "instance_id": "i",
        "reasoners": [{"id": "work", "input_schema": {}, "output_schema": {}}],
        "skills": [],
        "lifecycle_status": "ready",
    }
    answer = await client.post("/api/v1/nodes/register", json=body)
    assert answer.status_code in (200, 201), answer.text


async def _submit(client: httpx.AsyncClient, told: Told, hook: str, place: dict[str, str]) -> None:
    body = {"input": {"n": 1}, "webhook": {"url": hook}}
    while True:
        await told.up.wait()
        with contextlib.suppress(httpx.HTTPError):
            answer = await client.post("/api/v1/execute/async/far.work", json=body, headers=place)
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                told.accepted.add(answer.json()["execution_id"])
                told.more.release()


async def _settle(client: httpx.AsyncClient, told: Told) -> None:
    """Ask until everything has ended, or for as long as that may take."""
    ends_at = time.monotonic() + SETTLE_MAX_S
    while (
        left := [each for each in told.accepted if each not in told.finals]
    ) and time.monotonic() < ends_at:
        answer = await client.post("/api/v1/executions/batch-status", json={"execution_ids": left[:500]})
        for execution_id, view in answer.json().items():
            if view["status"] not in ("queued", "running"):
                told.finals[execution_id] = view["status"]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_MAX_S):
            while told.untold():
                told.hooked.clear()
                await told.hooked.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(campaign(int(sys.argv[1]), Path(folder), seed=int(time.time())))
    sys.stdout.write(f"{outcome}\n")
    sys.exit(bool(outcome.lost() or outcome.again or outcome.untold() or outcome.told_otherwise()))
