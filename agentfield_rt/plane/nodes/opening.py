"""Nodes that register over HTTP, as a plane's settings would have them; what stood before stands again."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from agentfield_rt.config import Settings
from agentfield_rt.plane.egress import HttpClient
from agentfield_rt.plane.nodes.admission import Admission
from agentfield_rt.plane.nodes.nodes import Nodes
from agentfield_rt.plane.nodes.registrations import Registrations
from agentfield_rt.plane.nodes.remote import RemoteNodes


@asynccontextmanager
async def open_remote_nodes(
    nodes: Nodes,
    registrations: Registrations,
    *,
    client: HttpClient,
    settings: Settings,
    restarted: Callable[[str, str], object],
) -> AsyncGenerator[RemoteNodes]:
    """Let nodes in while the block runs; see `RemoteNodes`."""
    token = settings.agent_token
    remote = RemoteNodes(
        nodes,
        registrations,
        client=client,
        admission=Admission(
            policy=client.policy,
            asks=settings.approve_nodes,
            token=token.get_secret_value() if token is not None else None,
        ),
        restarted=restarted,
    )
    try:
        await registrations.restore()
        await remote.restore()
        yield remote
    finally:
        await remote.close()
