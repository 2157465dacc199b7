"""Nodes in other processes that register over HTTP: let in, kept up to date, approved, replaced, removed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agentfield_rt.core.records import NodeApproval, NodeReach
from agentfield_rt.plane.egress import HttpClient
from agentfield_rt.plane.errors import Conflict, NotFound
from agentfield_rt.plane.nodes.admission import Admission
from agentfield_rt.plane.nodes.health import Health
from agentfield_rt.plane.nodes.http_dispatch import HttpDispatcher
from agentfield_rt.plane.nodes.http_status import is_running
from agentfield_rt.plane.nodes.node import Lifecycle, Node
from agentfield_rt.plane.nodes.nodes import Nodes
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.plane.nodes.registrations import Registrations, Standing

_ORPHANED = (
    "agent_restart_orphaned: the agent was restarted while it ran this; its new process knows nothing of it"
)

_SAID = {
    "starting": Lifecycle.STARTING,
    "ready": Lifecycle.READY,
    "degraded": Lifecycle.DEGRADED,
    "offline": Lifecycle.OFFLINE,
}


class RemoteNodes:
    """Keeps `Nodes` up to date with what registers over HTTP.

    Args:
        restarted: Called with the id of a node whose process was replaced by another, and a text about it:
            what the old one was running will never be reported.
    """

    def __init__(
        self,
        nodes: Nodes,
        registrations: Registrations,
        *,
        client: HttpClient,
        admission: Admission,
        restarted: Callable[[str, str], object],
    ) -> None:
        self.health = Health(nodes, partial(is_running, client))
        self._nodes = nodes
        self.registrations = registrations
        self._client = client
        self._admission = admission
        self._restarted = restarted

    async def restore(self) -> None:
        """Bring back what stood when the last process ended; each node is asked whether it is there."""
        for standing, node in await self.registrations.nodes_of(NodeReach.HTTP, self._restored):
            if standing.approval is not NodeApproval.DENIED:
                self._nodes.add(node)
                self.health.expect(node.node_id)

    def _restored(self, standing: Standing) -> Node:
        node_id = standing.registration.id
        if self._nodes.find(node_id) is not None:
            raise Conflict(f"node '{node_id}' is known here and is not reached over HTTP")
        return self._node(standing, Lifecycle.OFFLINE)

    async def register(self, registration: Registration) -> tuple[Node, bool]:
        """Let a node in; its registration is durable when this returns. Says whether the node is new.

        Raises:
            BadRequest: something in it cannot be meant; the text names the member.
            NotAllowed: this server may not call its address, or an operator denied it.
            Conflict: the id is that of an agent of this process, or of one that is connected by channel.
            Busy: as many nodes are registered as may be.
        """
        await self._admission.require_address(registration)
        async with self.registrations.lock:
            before = self.registrations.find(registration.id)
            self._require_place(registration.id, before)
            standing = await self._stand(registration, before)
            lifecycle = _SAID.get(registration.lifecycle_status, Lifecycle.STARTING)
            node = self._node(standing, Lifecycle.STARTING if lifecycle is Lifecycle.OFFLINE else lifecycle)
            if before is not None and _is_another_process(before, registration):
                self._restarted(node.node_id, _ORPHANED)
            self._nodes.replace(node)
            self.health.heard(node.node_id, node.lifecycle)
            return node, before is None

    def heartbeat(self, node_id: str, status: str, *, instance_id: str = "") -> bool:
        """A node says that it is there. False: it was not counted, as another process of it has registered.

        Raises:
            NotFound: it is not registered; it should do so.
        """
        standing = self._require(node_id)
        known = standing.registration.instance_id
        if instance_id and known and instance_id != known:
            return False
        self.health.heard(node_id, _SAID.get(status, Lifecycle.READY))
        return True

    def renew(self, node_id: str, phase: str, *, lease_s: float) -> None:
        """A node asks for a longer lease.

        Raises:
            NotFound: it is not registered.
        """
        self._require(node_id)
        self.health.heard(node_id, _SAID.get(phase, Lifecycle.READY), lease_s=lease_s)

    def leave(self, node_id: str) -> None:
        """A node says that it goes; it stays registered, and work for it waits.

        Raises:
            NotFound: it is not registered.
        """
        self._require(node_id)
        self.health.left(node_id)

    async def remove(self, node_id: str) -> None:
        """Forget a node, also one that was connected by channel; it may register again.

        Raises:
            NotFound: it is not registered.
            Conflict: it is connected by channel now.
        """
        async with self.registrations.lock:
            standing = self.registrations.find(node_id)
            if standing is None:
                raise NotFound(f"node '{node_id}' is not registered")
            if self._is_connected(node_id, standing):
                raise Conflict(f"node '{node_id}' is connected by channel; stop its agents first")
            self.health.forget(node_id)
            self._nodes.remove(node_id)
            await self.registrations.end(standing)

    def give_way(self, node_id: str) -> None:
        """The node is reached by channel from now on: it is not asked any more whether it is there."""
        self.health.forget(node_id)
        self._restarted(node_id, _ORPHANED)

    async def decide(self, node_id: str, approval: NodeApproval, *, decider: str | None) -> None:
        """An operator approves or denies a node.

        Raises:
            NotFound: it is not registered over HTTP.
        """
        async with self.registrations.lock:
            standing = self._require_standing(node_id)
            if standing.approval is not approval:
                standing = await self.registrations.decide(standing, approval, decider=decider)
            if approval is NodeApproval.DENIED:
                self.health.forget(node_id)
                self._nodes.remove(node_id)
            elif (node := self._nodes.find(node_id)) is None:
                self._nodes.add(self._node(standing, Lifecycle.OFFLINE))
                self.health.expect(node_id)
            elif node.lifecycle is Lifecycle.PENDING_APPROVAL:
                self._nodes.replace(replace(node, lifecycle=Lifecycle.STARTING))

    def denied(self) -> list[Standing]:
        """Those that an operator denied: they are no nodes, and may be approved still."""
        standing = self.registrations.reached(NodeReach.HTTP)
        return [one for one in standing if one.approval is NodeApproval.DENIED]

    async def close(self) -> None:
        """Ask no node any more; what is registered stays so."""
        await self.health.close()
        await self.registrations.close()

    def _require_place(self, node_id: str, before: Standing | None) -> None:
        is_here = before is None and self._nodes.find(node_id) is not None
        if is_here or (before is not None and self._is_connected(node_id, before)):
            raise Conflict(f"node '{node_id}' is known here and is not reached over HTTP")

    def _is_connected(self, node_id: str, standing: Standing) -> bool:
        """An agent is at the end of a channel now: the node is not merely remembered."""
        node = self._nodes.find(node_id)
        is_there = node is not None and node.lifecycle is not Lifecycle.OFFLINE
        return standing.reach is NodeReach.CHANNEL and is_there

    async def _stand(self, registration: Registration, before: Standing | None) -> Standing:
        """What stands from now on; the same again is not written again."""
        approval = self._admission.approval(registration, before)
        if before is not None and before.approval is approval and _is_same(before, registration):
            return before
        return await self.registrations.add(registration, approval=approval)

    def _node(self, standing: Standing, lifecycle: Lifecycle) -> Node:
        """The node of a registration.

        Raises:
            PlaneError: the registration cannot be meant.
        """
        registration = standing.registration
        base_url = registration.base_url.rstrip("/")
        is_pending = standing.approval is NodeApproval.PENDING
        return Node(
            node_id=registration.id,
            version=registration.version,
            instance_id=registration.instance_id,
            base_url=base_url,
            capabilities=registration.capabilities(),
            sessions=registration.sessions(),
            dispatcher=HttpDispatcher(
                base_url=base_url,
                client=self._client,
                unreachable=partial(self.health.suspect, registration.id),
                token=self._admission.token,
            ),
            handlers=None,
            lifecycle=Lifecycle.PENDING_APPROVAL if is_pending else lifecycle,
            description=registration.description,
            tags=registration.tags,
            metadata=registration.metadata,
            registered_at=standing.registered_at,
        )

    def _require(self, node_id: str) -> Standing:
        standing = self.registrations.find(node_id)
        is_ours = standing is not None and standing.reach is NodeReach.HTTP
        if standing is None or not is_ours or self._nodes.find(node_id) is None:
            raise NotFound(f"node '{node_id}' not found; register it first")
        return standing

    def _require_standing(self, node_id: str) -> Standing:
        standing = self.registrations.find(node_id)
        if standing is None or standing.reach is not NodeReach.HTTP:
            raise NotFound(f"node '{node_id}' is not registered over HTTP")
        return standing


def _is_another_process(before: Standing, now: Registration) -> bool:
    then_id = before.registration.instance_id
    is_other = bool(then_id and now.instance_id) and then_id != now.instance_id
    return is_other or before.reach is not NodeReach.HTTP


def _is_same(before: Standing, now: Registration) -> bool:
    """Nothing but where its start stands is different."""
    then = before.registration.model_copy(update={"lifecycle_status": now.lifecycle_status})
    return before.reach is NodeReach.HTTP and then == now
