"""Nodes at the end of a channel, remembered: work for them is taken also while nobody is connected."""

from collections.abc import Callable
from dataclasses import replace

from agentfield_journal import JournalError
from agentfield_rt.channel.to_plane import Hello
from agentfield_rt.core.records import NodeApproval, NodeReach
from agentfield_rt.plane.channel.fleet import ChannelNode
from agentfield_rt.plane.channel.registering import channel_node, registration_of
from agentfield_rt.plane.errors import Busy, Conflict, NotAllowed
from agentfield_rt.plane.nodes import Lifecycle, Node, Nodes
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.plane.nodes.registrations import Registrations, Standing
from agentfield_rt.plane.nodes.remote import RemoteNodes


class ChannelNodes:
    """Lets nodes in that connect, and brings back those that stood.

    Args:
        remote: Gives a node up that is reached by channel from now on.
        asks: An operator has to approve each node first, which is not possible for these.
    """

    def __init__(
        self, nodes: Nodes, registrations: Registrations, remote: RemoteNodes, *, asks: bool
    ) -> None:
        self._nodes = nodes
        self._registrations = registrations
        self._remote = remote
        self._asks = asks

    async def restore(self, reached_by: Callable[[str], ChannelNode]) -> None:
        """Bring back what stood when the last process ended; nobody is connected yet."""

        def node_of(standing: Standing) -> Node:
            self._require_no_approval()
            registration = standing.registration
            if self._nodes.find(registration.id) is not None:
                raise Conflict(f"node '{registration.id}' is known here and is not reached over a channel")
            return channel_node(registration, reached_by(registration.id))

        for standing, node in await self._registrations.nodes_of(NodeReach.CHANNEL, node_of):
            offline = replace(node, lifecycle=Lifecycle.OFFLINE, registered_at=standing.registered_at)
            self._nodes.add(offline)

    async def register(self, hello: Hello, reached_by: ChannelNode) -> Node:
        """The node of a `hello`. What it says is durable before it is welcomed, if it is new.

        So whoever was welcomed is remembered. It costs the agents that come back to another plane nothing,
        as the same again is not written again, whichever instance says it.

        Raises:
            BadRequest: names the member of the registration that is wrong.
            NotAllowed: an operator has to approve nodes, or denied it.
            Conflict: the id is that of a node that is there and is reached in another way.
            Busy: as many nodes are registered as may be, or it cannot be recorded now.
        """
        self._require_no_approval()
        registration = registration_of(hello)
        node = channel_node(registration, reached_by)
        async with self._registrations.lock:
            before = self._registrations.find(registration.id)
            self._require_place(registration.id, before)
            if before is None or not _is_same(before, registration):
                try:
                    await self._registrations.add(
                        registration, approval=NodeApproval.NOT_ASKED, reach=NodeReach.CHANNEL
                    )
                except JournalError:
                    raise Busy("the registration cannot be recorded now; try again") from None
            if before is not None and before.reach is NodeReach.HTTP:
                self._remote.give_way(registration.id)
        return node

    def _require_place(self, node_id: str, before: Standing | None) -> None:
        if before is not None and before.approval is NodeApproval.DENIED:
            raise NotAllowed(f"an operator denied node '{node_id}'")
        known = self._nodes.find(node_id)
        if known is None or isinstance(known.dispatcher, ChannelNode):
            return
        if before is None or known.lifecycle is not Lifecycle.OFFLINE:
            raise Conflict(
                f"node '{node_id}' is known here and is not reached over a channel; remove it first"
            )

    def _require_no_approval(self) -> None:
        if self._asks:
            raise NotAllowed(
                "this server has an operator approve each node, which it can for those that register over "
                "HTTP only; AGENTFIELD_RT_APPROVE_NODES=false lets agents connect"
            )


def _is_same(before: Standing, now: Registration) -> bool:
    """Nothing is different but the process that says it."""
    process = {"instance_id": now.instance_id, "lifecycle_status": now.lifecycle_status}
    then = before.registration.model_copy(update=process)
    return before.reach is NodeReach.CHANNEL and then == now
