"""Which nodes are there: heartbeats renew a lease, and whoever lets it end is asked before it counts as gone.

Knows nothing of HTTP, and does not decide what becomes of work for a node that is gone.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from agentfield_rt.plane.nodes.node import Lifecycle, Node
from agentfield_rt.plane.nodes.nodes import Nodes

log = logging.getLogger(__name__)

LEASE_S = 30.0
"""AgentField's SDK sends a heartbeat every 2 s and gives up its server after 30."""

POLL_EVERY_S = 30.0
"""How often a node that is gone is asked whether it is back; it tells us by itself, too."""

POLLS_MAX = 16
"""At once."""

IsRunning = Callable[[Node], Awaitable[bool]]
"""Asks a node itself whether it is there; must not raise."""


@dataclass(slots=True)
class _Lease:
    """Until when (the loop's time) a node counts as there, and when it was last heard (since 1970)."""

    until_s: float
    heard_at: float
    timer: asyncio.TimerHandle | None = None
    poll: asyncio.Task[None] | None = None


class Health:
    """Keeps the lifecycle of nodes that have an address.

    A lease has one timer. A heartbeat only moves the end, which the timer finds when it is due: a thousand
    nodes that say every 2 s that they are there cost no timers.
    """

    def __init__(self, nodes: Nodes, is_running: IsRunning) -> None:
        self._nodes = nodes
        self._is_running = is_running
        self._leases: dict[str, _Lease] = {}
        self._polling = asyncio.Semaphore(POLLS_MAX)
        self._closed = False

    def heard(self, node_id: str, lifecycle: Lifecycle, *, lease_s: float = LEASE_S) -> None:
        """The node says how it is; that holds for `lease_s`."""
        lease = self._lease(node_id)
        lease.until_s = asyncio.get_running_loop().time() + lease_s
        lease.heard_at = time.time()
        self._arm(node_id, lease)
        self._set(node_id, lifecycle)

    def expect(self, node_id: str) -> None:
        """A node of which nothing was heard in this process: it is asked at once."""
        self._lease(node_id)
        self._ask(node_id)

    def suspect(self, node_id: str) -> None:
        """Somebody could not reach it: it is asked at once, whatever its lease says."""
        if node_id in self._leases:
            self._ask(node_id)

    def left(self, node_id: str) -> None:
        """The node said that it goes."""
        lease = self._lease(node_id)
        lease.until_s = 0.0
        self._disarm(lease)
        self._set(node_id, Lifecycle.OFFLINE)

    def forget(self, node_id: str) -> None:
        """The node is no longer known."""
        lease = self._leases.pop(node_id, None)
        if lease is not None:
            self._disarm(lease)

    def heard_at(self, node_id: str) -> float | None:
        """When it was last heard of, in seconds since 1970; None: not in this process."""
        lease = self._leases.get(node_id)
        return lease.heard_at or None if lease is not None else None

    async def close(self) -> None:
        """Ask nobody any more."""
        self._closed = True
        polls = [lease.poll for lease in self._leases.values() if lease.poll is not None]
        for lease in self._leases.values():
            self._disarm(lease)
        await asyncio.gather(*polls, return_exceptions=True)

    def _lease(self, node_id: str) -> _Lease:
        return self._leases.setdefault(node_id, _Lease(0.0, 0.0))

    def _arm(self, node_id: str, lease: _Lease) -> None:
        if lease.timer is None and not self._closed:
            loop = asyncio.get_running_loop()
            due_s = max(lease.until_s, loop.time())
            lease.timer = loop.call_at(due_s, self._due, node_id)

    def _disarm(self, lease: _Lease) -> None:
        if lease.timer is not None:
            lease.timer.cancel()
            lease.timer = None
        if lease.poll is not None:
            lease.poll.cancel()
            lease.poll = None

    def _due(self, node_id: str) -> None:
        lease = self._leases[node_id]
        lease.timer = None
        if asyncio.get_running_loop().time() < lease.until_s:
            self._arm(node_id, lease)
        else:
            self._ask(node_id)

    def _ask(self, node_id: str) -> None:
        lease = self._leases[node_id]
        if lease.poll is None and not self._closed:
            lease.poll = asyncio.create_task(self._poll(node_id, lease), name=f"poll {node_id}")

    async def _poll(self, node_id: str, lease: _Lease) -> None:
        node, until_s = self._nodes.find(node_id), lease.until_s
        try:
            async with self._polling:
                is_there = node is not None and await self._is_running(node)
        finally:
            if lease.poll is asyncio.current_task():  # or it was disarmed, and another one asks already
                lease.poll = None
        now_s = asyncio.get_running_loop().time()
        if is_there:
            lease.until_s, lease.heard_at = now_s + LEASE_S, time.time()
            self._back(node_id)
        elif lease.until_s == until_s:  # otherwise it said something meanwhile, which counts for more
            lease.until_s = now_s + POLL_EVERY_S
            self._set(node_id, Lifecycle.OFFLINE)
        self._arm_anew(node_id, lease)

    def _arm_anew(self, node_id: str, lease: _Lease) -> None:
        """The lease may end earlier than it did."""
        if lease.timer is not None:
            lease.timer.cancel()
            lease.timer = None
        self._arm(node_id, lease)

    def _back(self, node_id: str) -> None:
        """It answers. Whoever could not reach it hears of it even if we never took it for gone."""
        node = self._nodes.find(node_id)
        if node is None or node.lifecycle is Lifecycle.PENDING_APPROVAL:
            return
        lifecycle = node.lifecycle if node.lifecycle is Lifecycle.DEGRADED else Lifecycle.READY
        self._nodes.replace(replace(node, lifecycle=lifecycle))

    def _set(self, node_id: str, lifecycle: Lifecycle) -> None:
        node = self._nodes.find(node_id)
        if node is None or node.lifecycle in (Lifecycle.PENDING_APPROVAL, lifecycle):
            return
        if lifecycle is Lifecycle.OFFLINE or node.lifecycle is Lifecycle.OFFLINE:
            log.info("node %s is %s", node_id, lifecycle)
        self._nodes.replace(replace(node, lifecycle=lifecycle))


class HealthStatus(StrEnum):
    """What AgentField calls `health_status`."""

    ACTIVE = "active"
    STARTING = "starting"
    DEGRADED = "degraded"
    INACTIVE = "inactive"
    OFFLINE = "offline"


def health_of(node: Node) -> HealthStatus:
    """How a node is, in AgentField's words; one that waits for approval is inactive."""
    return _HEALTH[node.lifecycle]


def nodes_by_health(nodes: Nodes, health: HealthStatus | None) -> Iterator[Node]:
    """Those of one health, or all."""
    return (node for node in nodes if health is None or health_of(node) == health)


_HEALTH = {
    Lifecycle.PENDING_APPROVAL: HealthStatus.INACTIVE,
    Lifecycle.STARTING: HealthStatus.STARTING,
    Lifecycle.READY: HealthStatus.ACTIVE,
    Lifecycle.DEGRADED: HealthStatus.DEGRADED,
    Lifecycle.OFFLINE: HealthStatus.OFFLINE,
}
