"""The agents at the end of a channel, as a plane's settings would have them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentfield_rt.config import Settings
from agentfield_rt.plane.channel.engine import Engine
from agentfield_rt.plane.channel.fleet import Fleet
from agentfield_rt.plane.channel.leases import Leases
from agentfield_rt.plane.channel.remembering import ChannelNodes
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.nodes.remote import RemoteNodes


@asynccontextmanager
async def open_fleet(
    nodes: Nodes, remote: RemoteNodes, engine: Engine, *, settings: Settings
) -> AsyncGenerator[Fleet]:
    """Let agents connect while the block runs; at its end they are told to come back to the next plane."""
    leases = Leases(lease_s=settings.agent_lease_s, keep_alive_s=settings.agent_lease_s / 3)
    channel_nodes = ChannelNodes(nodes, remote.registrations, remote, asks=settings.approve_nodes)
    fleet = Fleet(nodes, engine, register=channel_nodes.register, leases=leases)
    try:
        await channel_nodes.restore(fleet.expect)
        yield fleet
    finally:
        await fleet.close()
