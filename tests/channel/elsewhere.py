"""A handler that runs behind a channel, for a session that knows nothing of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.agent.remote.connection import Connection
from agentfield_rt.channel.to_plane import Hello, Note
from agentfield_rt.plane.channel.fleet import ChannelNode, Fleet
from agentfield_rt.plane.channel.leases import Leases
from agentfield_rt.plane.channel.registering import channel_node, registration_of
from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.executions.dispatch import CapabilityKind, Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes import Node, Nodes
from agentfield_rt.voice.link import ExecutionRequest, SessionLink
from tests.channel.wires import MemoryDialer

Function = Callable[[RealtimeSession], Awaitable[None]]

LEASE_S = 0.2


async def register(hello: Hello, reached_by: ChannelNode) -> Node:
    """Whoever connects is let in, and not remembered."""
    return channel_node(registration_of(hello), reached_by)


class NoExecutions:
    """An engine for agents that run none. What they report is noted.

    Attributes:
        over: Executions that have ended, as far as it knows.
        reporting: How many reports are being written down.
        holds: Calls are accepted and do not end, reports are not written down yet.
    """

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, Outcome]] = []
        self.over = set[str]()
        self.reporting = 0
        self._going = asyncio.Event()
        self._going.set()

    @property
    def holds(self) -> bool:
        return not self._going.is_set()

    @holds.setter
    def holds(self, holds: bool) -> None:
        self._going.clear() if holds else self._going.set()

    async def submit(self, request: ExecutionRequest, *, key: str, actor_id: str | None) -> Execution:
        if not self.holds:
            raise NotFound("nothing runs here")
        return an_execution(f"exec_{key}", ExecutionStatus.RUNNING)

    async def find(self, execution_id: str) -> Execution:
        if execution_id not in self.over:
            raise NotFound("nothing runs here")
        return an_execution(execution_id, ExecutionStatus.CANCELLED)

    async def result(self, execution: Execution) -> Any:
        await self._going.wait()

    async def cancel(self, execution_id: str) -> None: ...

    async def report(self, execution_id: str, outcome: Outcome, *, node_id: str) -> None:
        self.reporting += 1
        await self._going.wait()
        self.reporting -= 1
        self.outcomes.append((execution_id, outcome))

    def began(self, execution_id: str, *, node_id: str) -> None: ...

    def begun_at(self, node_id: str) -> list[str]:
        return []

    async def note(self, note: Note) -> None: ...


def an_execution(execution_id: str, status: ExecutionStatus) -> Execution:
    return Execution(
        execution_id=execution_id,
        run_id="run_1",
        target="node.work",
        kind=CapabilityKind.REASONER,
        created_at=0.0,
        input_ref="",
        depth=0,
        remote=True,
        time_max_s=60.0,
        status=status,
    )


@dataclass
class Process:
    """An agent's process, connected by wires that a test can cut."""

    agent: Agent
    connection: Connection
    dialer: MemoryDialer
    task: asyncio.Task[None]

    async def kill(self) -> None:
        """It is gone from one moment to the next."""
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.dialer.close()
        await self.connection.stop()


@dataclass
class Elsewhere:
    """A plane's fleet, and the processes of one node."""

    lease_s: float = LEASE_S
    engine: NoExecutions = field(default_factory=NoExecutions)
    processes: list[Process] = field(default_factory=list[Process])

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another plane, which knows nothing of before."""
        self.nodes = Nodes()
        leases = Leases(lease_s=self.lease_s, keep_alive_s=self.lease_s / 3)
        self.fleet = Fleet(self.nodes, self.engine, register=register, leases=leases)

    async def start(self, function: Function, **reasoners: Callable[..., Any]) -> Process:
        """One more process of the node, whose session `voice` is handled by `function`."""
        app = Agent("node", server="http://plane")
        app.session("voice", provider="local", transport="websocket")(function)
        for name, reasoner in reasoners.items():
            app.reasoner(name)(reasoner)
        dialer = MemoryDialer(self.fleet)
        connection = Connection(app, "http://plane", api_key=None, dialer=dialer)
        task = asyncio.create_task(connection.run(), name="agent")
        process = Process(app, connection, dialer, task)
        self.processes.append(process)
        await connection.welcomed.wait()
        app.bind(connection.executor, noter=connection.note)
        return process

    async def run(self, link: SessionLink) -> None:
        """Run the handler of a session that is here; whatever it does is done over the channel."""
        node = self.nodes.get("node")
        assert node.handlers is not None
        handler = node.handlers.handler("voice")
        assert handler is not None
        await handler(link)

    async def close(self) -> None:
        for process in self.processes:
            await process.kill()
        await self.fleet.close()


@asynccontextmanager
async def elsewhere(*, lease_s: float = LEASE_S) -> AsyncGenerator[Elsewhere]:
    """A plane's side, without a plane."""
    there = Elsewhere(lease_s)
    try:
        yield there
    finally:
        await there.close()
