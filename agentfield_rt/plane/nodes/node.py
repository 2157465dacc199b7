"""One node as the plane knows it, wherever it runs: in this process, behind HTTP, or at the end of a channel.

Knows nothing of how a node comes to be known, nor of how work gets there: that is its `Dispatcher`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agentfield_rt.agent import SessionDefinition
from agentfield_rt.plane.executions.dispatch import CapabilityKind, Dispatcher
from agentfield_rt.voice.link import Handler

__all__ = ["Capability", "CapabilityKind", "Lifecycle", "Node", "SessionHandlers"]


class Lifecycle(StrEnum):
    """Where a node stands, in AgentField's words."""

    PENDING_APPROVAL = "pending_approval"
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    OFFLINE = "offline"


_TAKES_WORK = frozenset({Lifecycle.STARTING, Lifecycle.READY, Lifecycle.DEGRADED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A reasoner or a skill; both are called alike, as `node.name`."""

    name: str
    kind: CapabilityKind
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=dict[str, Any])
    output_schema: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tags: tuple[str, ...] = ()


class SessionHandlers(Protocol):
    """Who runs the session handlers of a node."""

    def handler(self, session_name: str) -> Handler | None:
        """Runs one invocation; None: nobody does, and the provider's model answers by itself."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What the plane knows of a node; replaced whole when it changes.

    Attributes:
        instance_id: New with each process of the node; empty when it does not say.
        base_url: Where it listens; None for one that is reached without an address.
        capabilities: Reasoners and skills by name.
        sessions: By name. Of a node that is not in this process their `function` is None.
        dispatcher: How its work gets there.
        handlers: Who runs its session handlers; None: the provider's model answers by itself.
        registered_at: Seconds since 1970.
    """

    node_id: str
    version: str
    instance_id: str
    base_url: str | None
    capabilities: Mapping[str, Capability]
    sessions: Mapping[str, SessionDefinition]
    dispatcher: Dispatcher
    handlers: SessionHandlers | None
    lifecycle: Lifecycle = Lifecycle.READY
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    registered_at: float = 0.0

    @property
    def deployment_type(self) -> str:
        """Where it runs, in a word as AgentField has them."""
        return "long_running" if self.dispatcher.remote else "in_process"

    @property
    def takes_work(self) -> bool:
        """Whether work may be sent there now; for one that is only offline it waits in the queue."""
        return self.lifecycle in _TAKES_WORK
