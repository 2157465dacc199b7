"""Agents of this process as nodes: their work is a task here, their handlers are their functions."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from agentfield_rt.agent import Agent, ExecutionContext, SessionDefinition
from agentfield_rt.agent.invocation import invoke
from agentfield_rt.errors import Reason
from agentfield_rt.plane.executions.dispatch import CapabilityKind, Dispatch, Outcome
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes.node import Capability, Node
from agentfield_rt.voice.link import Handler


def in_process_node(agent: Agent) -> Node:
    """The agent as a node; what it declares from now on is not seen."""
    return Node(
        node_id=agent.node_id,
        version=agent.version,
        instance_id="",
        base_url=None,
        capabilities={
            reasoner.name: Capability(
                name=reasoner.name,
                kind=kind,
                description=reasoner.description,
                input_schema=reasoner.input_schema,
                output_schema=reasoner.output_schema,
                tags=reasoner.tags,
            )
            for kind, declared in (
                (CapabilityKind.REASONER, agent.reasoners),
                (CapabilityKind.SKILL, agent.skills),
            )
            for reasoner in declared.values()
        },
        sessions=dict(agent.sessions),
        dispatcher=InProcessDispatcher(agent),
        handlers=InProcessHandlers(agent.sessions),
        description=agent.description,
        tags=agent.tags,
        registered_at=time.time(),
    )


@dataclass(frozen=True, slots=True)
class InProcessHandlers:
    """Session handlers that are functions of this process."""

    sessions: Mapping[str, SessionDefinition]

    def handler(self, session_name: str) -> Handler | None:
        """See `SessionHandlers.handler`."""
        definition = self.sessions.get(session_name)
        return definition.handler() if definition is not None else None


class InProcessDispatcher:
    """Runs the reasoners of one agent; each answers with its outcome."""

    remote = False

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._running: dict[str, asyncio.Task[Outcome]] = {}

    async def dispatch(self, work: Dispatch) -> Outcome:
        """Run it to its end. Cancelled, it returns when the reasoner has ended, too."""
        invocation = asyncio.create_task(self._invoke(work), name=work.execution_id)
        self._running[work.execution_id] = invocation
        try:
            await asyncio.wait([invocation])
        except asyncio.CancelledError:
            invocation.cancel()
            await asyncio.wait([invocation])
            raise
        finally:
            del self._running[work.execution_id]
        if invocation.cancelled():
            return Outcome(status=ExecutionStatus.CANCELLED, reason=Reason.CANCELLED)
        return invocation.result()

    async def _invoke(self, work: Dispatch) -> Outcome:
        context = ExecutionContext(
            work.run_id, work.execution_id, work.session_id, work.turn_id, work.actor_id
        )
        ended = await invoke(self._agent, work.name, dict(work.arguments), context=context)
        if ended.reason is not None:
            return Outcome(status=ExecutionStatus.FAILED, reason=ended.reason, error=ended.error)
        return Outcome(status=ExecutionStatus.SUCCEEDED, result=ended.result)

    async def cancel(self, execution_id: str) -> None:
        """See `Dispatcher.cancel`."""
        invocation = self._running.get(execution_id)
        if invocation is not None:
            invocation.cancel()
