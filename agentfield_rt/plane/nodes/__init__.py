"""The nodes this plane knows: what each can do, how work gets there, who handles its sessions."""

from agentfield_rt.plane.nodes.node import Capability, CapabilityKind, Lifecycle, Node, SessionHandlers
from agentfield_rt.plane.nodes.nodes import Nodes

__all__ = ["Capability", "CapabilityKind", "Lifecycle", "Node", "Nodes", "SessionHandlers"]
