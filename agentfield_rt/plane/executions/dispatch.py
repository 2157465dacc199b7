"""How an execution gets to its node and how it ends: the port between the engine and whoever carries work.

Knows nothing of journals, HTTP or queues.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from agentfield_rt.errors import RealtimeError, Reason
from agentfield_rt.plane.executions.status import ExecutionStatus


class CapabilityKind(StrEnum):
    """What a target names; AgentField gives each its own route on the agent."""

    REASONER = "reasoner"
    SKILL = "skill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One attempt to get an execution to its node.

    Attributes:
        name: The reasoner's or skill's, without its node.
        arguments: The bare input; content, never logged.
    """

    execution_id: str
    run_id: str
    name: str
    kind: CapabilityKind
    arguments: Mapping[str, Any]
    session_id: str | None = None
    turn_id: str | None = None
    actor_id: str | None = None
    parent_execution_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an execution ended.

    Attributes:
        status: A final one.
        result: Any JSON, of one that succeeded.
        error: What the agent said of a failure: content, never journaled or logged.
        error_details: What it said for programs, any JSON; None: nothing.
        error_status: The HTTP status that it wants for whoever waits for this, 400 to 599.
        reason: The code that is journaled.
        usage: What it cost, as its agent counts it; any JSON.
    """

    status: ExecutionStatus
    result: Any = None
    error: str | None = None
    error_details: Any = None
    error_status: int | None = None
    reason: Reason | None = None
    usage: Any = None


class NodeUnreachable(RealtimeError):
    """The node was certainly not given the work: dispatching it again cannot run it twice."""


class DispatchInDoubt(RealtimeError):
    """The node may have been given the work: the connection broke after the request had left."""


class Dispatcher(Protocol):
    """Carries work to one node."""

    @property
    def remote(self) -> bool:
        """Whether the work goes on when this process ends: the node is another process."""
        ...

    async def dispatch(self, work: Dispatch) -> Outcome | None:
        """Hand the work over.

        Returns:
            How it ended; None when the node accepted it and will report with `Executions.report`.

        Raises:
            NodeUnreachable: it has not begun and may be tried again.
            DispatchInDoubt: it may have begun; its report is waited for before it is tried again.
        """
        ...

    async def cancel(self, execution_id: str) -> None:
        """Ask the node to stop; nobody waits for whether it does.

        Raises:
            NodeUnreachable: it cannot be asked.
        """
        ...


@runtime_checkable
class TakesAnswers(Protocol):
    """A dispatcher whose executions may wait for somebody outside: their agent is told of the answer."""

    async def answer(self, body: bytes) -> None:
        """Tell the agent; JSON in AgentField's shape. Told twice, it counts once (`asking.AGAIN`).

        Raises:
            NodeUnreachable: it did not take it.
        """
        ...
