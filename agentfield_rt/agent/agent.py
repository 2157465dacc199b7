"""An agent: a node of reasoners, skills and sessions. What an application author touches first."""

import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentfield_rt.agent.context import CURRENT, ExecutionContext
from agentfield_rt.agent.declaring_sessions import SessionDeclarations
from agentfield_rt.agent.hosting import host_agents
from agentfield_rt.agent.memory import Memory, MemoryConnection
from agentfield_rt.agent.reasoner import Reasoner
from agentfield_rt.agent.router import AgentRouter
from agentfield_rt.agent.session import plain
from agentfield_rt.errors import RealtimeError
from agentfield_rt.memory import Where
from agentfield_rt.voice.link import ExecutionRequest, Executor

log = logging.getLogger(__name__)

Noter = Callable[[str, tuple[str, ...], ExecutionContext], None]
"""Takes a remark on an execution; returns at once and never raises."""


def _standing() -> Where:
    """Where the running code stands in the workflow, as far as memory asks."""
    current = CURRENT.get()
    if current is None:
        return Where()
    return Where(workflow_id=current.run_id, session_id=current.session_id, actor_id=current.actor_id)


class Agent(SessionDeclarations):
    """A node: `@app.reasoner` declares work, `@app.session(…)` declares calls, `app.run()` serves both.

    Args:
        node_id: The first half of every target, `node_id.name`.
        server: The control plane to connect to, such as `https://plane.example.com`; `AGENTFIELD_SERVER` when
            left out. With neither, `app.run()` starts one in this process.
        api_key: What that control plane asks for; `AGENTFIELD_API_KEY` when left out.
        tags: For whoever looks for it, and for access.

    Attributes:
        memory: What agents remember; see `agentfield_rt.agent.memory`.
    """

    def __init__(  # noqa: PLR0913 - AgentField's, and ours
        self,
        node_id: str,
        *,
        server: str | None = None,
        api_key: str | None = None,
        version: str = "0.0.0",
        description: str = "",
        tags: Sequence[str] = (),
    ) -> None:
        if not node_id or "." in node_id:
            raise ValueError(f"node_id {node_id!r} must be a word without dots: targets are node.name")
        super().__init__(node_id)
        self.node_id = node_id
        self.version = version
        self.description = description
        self.tags = tuple(tags)
        self.memory = Memory(MemoryConnection(node_id, _standing))
        self._server = server
        self._api_key = api_key
        self._executor: Executor | None = None
        self._noter: Noter | None = None

    @property
    def server(self) -> str | None:
        """The control plane to connect to; None: one in this process."""
        return self._server or os.environ.get("AGENTFIELD_SERVER") or None

    @property
    def api_key(self) -> str | None:
        return self._api_key or os.environ.get("AGENTFIELD_API_KEY") or None

    def include_router(self, router: AgentRouter, *, prefix: str = "", tags: Sequence[str] = ()) -> None:
        """Take in what `router` declares; `prefix` comes before its names, with an underscore.

        Raises:
            ValueError: a name is taken, or the router is part of another agent. Nothing was taken in.
        """
        before = f"{prefix.strip('/')}_" if prefix.strip("/") else ""
        found = [
            (ours, reasoner.named(before + name, (*tags, *reasoner.tags)))
            for ours, theirs in ((self.reasoners, router.reasoners), (self.skills, router.skills))
            for name, reasoner in theirs.items()
        ]
        for _, reasoner in found:
            if self.capability(reasoner.name) is not None:
                raise ValueError(f"{self.node_id} has a {reasoner.name!r} already")
        router.attach(self)
        for ours, reasoner in found:
            ours[reasoner.name] = reasoner

    def capability(self, name: str) -> Reasoner | None:
        """A reasoner or skill by name."""
        return self.reasoners.get(name) or self.skills.get(name)

    def bind(self, executor: Executor, *, noter: Noter | None = None) -> None:
        """Let `app.call` reach the workflow; a control plane does this when the agent joins it."""
        self._executor = executor
        self._noter = noter

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the result of the running code any more: it was cancelled, or took too long.

        An async function is stopped at its next await. One that is not async runs in a thread, which nobody
        can stop: where it takes long, it asks.
        """
        current = CURRENT.get()
        return current is not None and current.stopped.is_set()

    async def call(self, target: str, **arguments: Any) -> Any:
        """Run `node.name`, as a child of whatever is running now; outside of everything, in a run of its own.

        Where the caller is cancelled, or `asyncio.timeout` runs out around it, so is what it called.

        Raises:
            ExecutionFailed: it does not exist, raised, or was cancelled.
            RealtimeError: the agent has not joined a control plane.
        """
        if self._executor is None:
            raise RealtimeError(
                f"agent {self.node_id} is not running; app.run() or a control plane comes first"
            )
        current = CURRENT.get()
        request = ExecutionRequest(
            target=target,
            arguments={name: plain(value) for name, value in arguments.items()},
            run_id=current.run_id if current else None,
            session_id=current.session_id if current else None,
            turn_id=current.turn_id if current else None,
            parent_execution_id=current.execution_id if current else None,
        )
        return await self._executor.execute(request)

    def note(self, message: str, tags: Sequence[str] = ()) -> None:
        """Remark on what is running, for whoever looks at the workflow. Returns at once and never raises.

        Outside of an execution there is nothing to remark on: then it goes to the log, at DEBUG.
        """
        current = CURRENT.get()
        if self._noter is None or current is None or current.execution_id is None:
            log.debug("agent %s notes outside of an execution: %s", self.node_id, message)
        else:
            self._noter(message, tuple(tags), current)

    async def invoke(self, name: str, arguments: Mapping[str, Any], context: ExecutionContext) -> Any:
        """Run one of this agent's own reasoners or skills, at `context`'s place in the workflow.

        Raises:
            InvalidInput: the arguments do not fit.
        """
        reasoner = self.capability(name)
        if reasoner is None:
            raise KeyError(name)
        token = CURRENT.set(context)
        try:
            return await reasoner.invoke(arguments)
        finally:
            context.stopped.set()
            CURRENT.reset(token)

    def run(
        self, *, host: str | None = None, port: int | None = None, data: str | Path | None = None
    ) -> None:
        """Serve this agent until Ctrl-C: connected to its `server`, or with a control plane of its own.

        What is left out comes from the environment (`agentfield_rt.config.Settings`). `host`, `port` and
        `data` are for a control plane of its own.

        Raises:
            SystemExit: 3, the server refuses this agent; why is said on stderr.
            RealtimeError: no control plane is installed, the port is taken, or `data` is in use.
        """
        if self.server is None:
            host_agents([self], host=host, port=port, data=data)
            return
        with _extra_for_a_server():
            from agentfield_rt.agent.remote.serving import serve_connected

        serve_connected(self)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Serve this agent at its `server` while the block runs, in a loop that is there already.

        Raises:
            RealtimeError: it has no server, the server refuses it, or nothing here can connect.
        """
        with _extra_for_a_server():
            from agentfield_rt.agent.remote.serving import connected

        async with connected(self):
            yield


@contextlib.contextmanager
def _extra_for_a_server() -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        raise RealtimeError(
            f"an agent with a server elsewhere needs {missing.name}; pip install 'agentfield-rt[agent]'"
        ) from None
