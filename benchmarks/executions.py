"""Executions over HTTP against the least that could do the same, on one core: work accepted, status polls.

`bare` is a Starlette route that reads the same body, appends one record to a journal of ours, waits until it
is durable and answers the same; for polls, one that answers the same. Both servers run on the first core,
in turns; the load comes from a process on the second. What the clock says suffers from whatever else the
machine does, so the processor time of the server for each request is measured, too.

`queued` is work for a node that is away: it is accepted and waits. `done` is work for a reasoner of the
plane's own process: accepted, run, recorded, and its run sealed. A round begins when the server has nothing
left to do from the one before.

    python -m benchmarks.executions [rounds]
"""

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from agentfield_journal import Draft, open_journal
from agentfield_rt import Agent
from agentfield_rt.config import Settings
from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.executions import admission
from agentfield_rt.plane.executions.dispatch import CapabilityKind, Dispatch, Outcome
from agentfield_rt.plane.http.protocol import OneWriteProtocol
from agentfield_rt.plane.nodes import Capability, Lifecycle, Node
from agentfield_rt.plane.server import collect_garbage_less
from benchmarks.http_load import Tally, load, request

CONNECTIONS = 64
ROUND_S = 2.0
QUIET_S = 0.4
QUIET_CPU_S = 0.03
BODY = b'{"input": {"text": "what is the weather in Berlin tomorrow", "turn": 7, "user": {"id": "u-1"}}}'
ANSWER = {
    "execution_id": "exec_20261121_205646_0123456789abcdef",
    "run_id": "run_20261121_205646_0123456789abcdef",
    "workflow_id": "run_20261121_205646_0123456789abcdef",
    "status": "queued",
    "target": "desk.resolve",
    "type": "reasoner",
    "created_at": "2026-11-21T20:56:46.123456Z",
    "enqueued_at": "2026-11-21T20:56:46.123456Z",
    "webhook_registered": False,
}
POLLED = {
    "execution_id": "exec_20261121_205646_0123456789abcdef",
    "run_id": "run_20261121_205646_0123456789abcdef",
    "status": "running",
    "started_at": "2026-11-21T20:56:46.123456Z",
    "webhook_registered": False,
}


class Away:
    """The dispatcher of a node that never comes."""

    remote = True

    async def dispatch(self, work: Dispatch) -> Outcome | None:
        raise AssertionError(work)

    async def cancel(self, execution_id: str) -> None: ...


def plane_app(data: Path) -> Any:
    """The plane with a node that is away, and one in this process."""
    admission.OPEN_MAX = 1_000_000  # a round is shorter than any queue
    near = Agent("near")

    @near.reasoner()
    async def resolve(text: str, turn: int, user: dict[str, Any]) -> str:
        return text

    @near.reasoner()
    async def waits(text: str, turn: int, user: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    app = create_app([near], settings=Settings(data=data, port=0))
    node = Node(
        node_id="desk",
        version="1",
        instance_id="i",
        base_url="http://127.0.0.1:9",
        capabilities={"resolve": Capability(name="resolve", kind=CapabilityKind.REASONER)},
        sessions={},
        dispatcher=Away(),
        handlers=None,
        lifecycle=Lifecycle.OFFLINE,
    )
    opened = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def with_desk(app_: Any) -> AsyncGenerator[Any]:
        async with opened(app_) as state:
            app.state.plane.nodes.replace(node)
            collect_garbage_less()
            yield state

    app.router.lifespan_context = with_desk
    return app


def bare_app(data: Path) -> Starlette:
    """The least that could be asked for: a record that is durable, and an answer."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with open_journal(f"sqlite:///{data}/bare.db") as journal:
            app.state.writer = await journal.open_run("run_1")
            app.state.count = 0
            collect_garbage_less()
            yield

    async def accept(asked: Request) -> JSONResponse:
        state = asked.app.state
        body = await asked.body()
        (await asked.json())["input"]
        state.count += 1
        draft = Draft(record_id=str(state.count), kind="execution_queued", at_ns=state.count, payload=body)
        await state.writer.durable(state.writer.append([draft]))
        return JSONResponse(ANSWER, 202, {"X-Execution-ID": "e", "X-Run-ID": "r"})

    async def poll(asked: Request) -> JSONResponse:
        return JSONResponse(POLLED)

    routes = [
        Route("/api/v1/execute/async/{target}", accept, methods=["POST"]),
        Route("/api/v1/executions/{execution_id}", poll, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def serve(kind: str, data: Path) -> None:
    """One of the servers, on the first processor; the first line it prints is its port."""
    os.sched_setaffinity(0, {0})
    app = plane_app(data) if kind == "plane" else bare_app(data)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        print(listening.getsockname()[1], flush=True)
        http = OneWriteProtocol if kind == "plane" else "httptools"
        config = uvicorn.Config(app, log_config=None, access_log=False, http=http, ws="none")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int

    @property
    def cpu_s(self) -> float:
        """Processor time it has used, of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(kind: str) -> Generator[Server]:
    """A server with a data directory of its own."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "benchmarks.executions", "--serve", kind, data]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Server(process, port)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


@dataclass(frozen=True)
class Rate:
    """What a server did in one round."""

    per_s: float
    cpu_us: float


def measure(server: Server, wire: bytes, status: bytes) -> Rate:
    """One round."""
    until_quiet(server)
    before = server.cpu_s
    tally, took_s = asyncio.run(load(server.port, wire, connections=CONNECTIONS, seconds=ROUND_S))
    until_quiet(server)
    assert set(tally.statuses) == {status}, (tally.statuses, tally.last)
    return Rate(tally.total / took_s, (server.cpu_s - before) / tally.total * 1e6)


def until_quiet(server: Server) -> None:
    """Return once it has done what it does later: folding, sealing, signing."""
    used_s = -1.0
    while server.cpu_s - used_s > QUIET_CPU_S:
        used_s = server.cpu_s
        time.sleep(QUIET_S)


def ask(server: Server, wire: bytes) -> Tally:
    """Ask once or a few times."""
    return asyncio.run(load(server.port, wire, connections=1, seconds=0.0))[0]


def compare(rounds: int) -> None:
    """All of it, in turns."""
    with running("plane") as plane, running("bare") as bare:
        for server in (plane, bare):
            until_ready(server)

        def submit(server: Server, target: str) -> bytes:
            return request("POST", f"/api/v1/execute/async/{target}", port=server.port, body=BODY)

        def poll(server: Server, execution_id: str) -> bytes:
            return request("GET", f"/api/v1/executions/{execution_id}", port=server.port)

        answer = ask(plane, submit(plane, "near.waits")).last
        waiting = answer.partition(b'"execution_id":"')[2].partition(b'"')[0].decode()
        cases = {
            "bare accept": (bare, submit(bare, "desk.resolve"), b"202"),
            "queued": (plane, submit(plane, "desk.resolve"), b"202"),
            "done": (plane, submit(plane, "near.resolve"), b"202"),
            "bare poll": (bare, poll(bare, waiting), b"200"),
            "poll": (plane, poll(plane, waiting), b"200"),
        }
        rates: dict[str, list[Rate]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, (server, wire, status) in cases.items():
                rates[name].append(measure(server, wire, status))
        report(rates)


def until_ready(server: Server) -> None:
    """Return once it answers."""
    while True:
        try:
            ask(server, request("GET", "/api/v1/executions/exec_none", port=server.port))
        except OSError:
            continue
        return


def report(rates: dict[str, list[Rate]]) -> None:
    """Medians, and what each is of its bare counterpart."""
    print(f"{'':14}{'per second':>12}{'cpu µs':>9}{'of bare':>9}{'by cpu':>8}")
    for name, all_of_it in rates.items():
        reference = rates["bare poll" if "poll" in name else "bare accept"]
        per_s = statistics.median(rate.per_s for rate in all_of_it)
        cpu_us = statistics.median(rate.cpu_us for rate in all_of_it)
        pairs = list(zip(all_of_it, reference, strict=True))
        of_bare = statistics.median(ours.per_s / theirs.per_s for ours, theirs in pairs)
        by_cpu = statistics.median(theirs.cpu_us / ours.cpu_us for ours, theirs in pairs)
        print(f"{name:14}{per_s:12,.0f}{cpu_us:9.0f}{of_bare:9.2f}{by_cpu:8.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], Path(sys.argv[3]))
    else:
        os.sched_setaffinity(0, {1})
        compare(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
