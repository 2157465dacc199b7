"""All known nodes by id. Knows nothing of journals or HTTP: whoever brings a node in keeps it current."""

from collections.abc import Callable, Iterable, Iterator

from agentfield_rt.agent import SessionDefinition
from agentfield_rt.plane.errors import BadRequest, Busy, NotFound
from agentfield_rt.plane.nodes.node import Capability, Lifecycle, Node


class Nodes:
    """Finds who does what. Iterating gives every node as it is now."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._nodes: dict[str, Node] = {}
        self._listeners: list[Callable[[str], None]] = []
        for node in nodes:
            self.add(node)

    def __iter__(self) -> Iterator[Node]:
        return iter(tuple(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def find(self, node_id: str) -> Node | None:
        """A node, if it is known."""
        return self._nodes.get(node_id)

    def get(self, node_id: str) -> Node:
        """A node.

        Raises:
            NotFound: nobody knows it.
        """
        node = self._nodes.get(node_id)
        if node is None:
            raise NotFound(f"node '{node_id}' not found")
        return node

    def add(self, node: Node) -> None:
        """Let a node in.

        Raises:
            ValueError: another node has this id.
        """
        if node.node_id in self._nodes:
            raise ValueError(f"two agents are named {node.node_id!r}; node ids are unique")
        self.replace(node)

    def replace(self, node: Node) -> None:
        """What is known of a node changed, or it is new."""
        self._nodes[node.node_id] = node
        self._tell(node.node_id)

    def remove(self, node_id: str) -> None:
        """A node is no longer known; one that was not known is passed over."""
        if self._nodes.pop(node_id, None) is not None:
            self._tell(node_id)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Tell `listener` the id of each node that is new, changed or gone. It must not raise."""
        self._listeners.append(listener)

    def _tell(self, node_id: str) -> None:
        for listener in self._listeners:
            listener(node_id)

    def capability(self, target: str) -> tuple[Node, Capability]:
        """Who does `node.name`, whether or not it can be reached now.

        Raises:
            BadRequest, NotFound: with AgentField's texts.
            Busy: the node waits for an operator's approval.
        """
        node_id, dot, name = target.partition(".")
        if not (node_id and dot and name):
            raise BadRequest("target must be in format 'node_id.reasoner_name'")
        node = self._nodes.get(node_id)
        if node is None:
            raise NotFound(f"agent '{node_id}' not found")
        _require_approval(node)
        capability = node.capabilities.get(name)
        if capability is None:
            raise NotFound(f"target '{name}' not found on agent '{node_id}'")
        return node, capability

    def session(self, target: str) -> tuple[Node, SessionDefinition]:
        """Who takes calls for `node.session`.

        Raises:
            BadRequest, NotFound: with AgentField's texts.
            Busy: the node waits for an operator's approval.
        """
        node_id, dot, name = target.partition(".")
        if not (node_id and dot and name):
            raise BadRequest("session target must be <node>.<session>")
        node = self._nodes.get(node_id)
        if node is None:
            raise NotFound("agent not found")
        _require_approval(node)
        if not node.sessions:
            raise NotFound("agent has no registered sessions")
        definition = node.sessions.get(name)
        if definition is None:
            raise NotFound("session not registered")
        return node, definition


def _require_approval(node: Node) -> None:
    if node.lifecycle is Lifecycle.PENDING_APPROVAL:
        raise Busy(f"agent_pending_approval: agent '{node.node_id}' waits for an operator's approval")
