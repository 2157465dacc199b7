"""The agents at the end of a channel, as a plane's settings would have them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentfield_rt.channel.to_plane import Hello
from agentfield_rt.config import Settings
from agentfield_rt.plane.channel.engine import Engine
from agentfield_rt.plane.channel.fleet import ChannelNode, Fleet
from agentfield_rt.plane.channel.leases import Leases
from agentfield_rt.plane.channel.registering import channel_node
from agentfield_rt.plane.errors import NotAllowed
from agentfield_rt.plane.nodes import Node, Nodes


@asynccontextmanager
async def open_fleet(nodes: Nodes, engine: Engine, *, settings: Settings) -> AsyncGenerator[Fleet]:
    """Let agents connect while the block runs; at its end they are told to come back to the next plane."""

    def register(hello: Hello, reached_by: ChannelNode) -> Node:
        if settings.approve_nodes:
            raise NotAllowed(
                "this server has an operator approve each node, which it can for those that register over "
                "HTTP only; AGENTFIELD_RT_APPROVE_NODES=false lets agents connect"
            )
        return channel_node(hello, reached_by)

    leases = Leases(lease_s=settings.agent_lease_s, keep_alive_s=settings.agent_lease_s / 3)
    fleet = Fleet(nodes, engine, register=register, leases=leases)
    try:
        yield fleet
    finally:
        await fleet.close()
