"""Settings of agents in other processes: whom this server calls, and who is let in."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from agentfield_rt.config.group import SettingGroup

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def _checked_host(host: str) -> str:
    host = host.strip().lower()
    try:
        ipaddress.ip_network(host)
    except ValueError as error:
        if "/" in host or not _NAME.fullmatch(host):
            raise ValueError(
                "a host is a name (agents.example.com), every name below one (*.example.com), an IP address "
                f"or a network (10.0.0.0/8): {error}"
            ) from None
    return host


AgentHost = Annotated[str, AfterValidator(_checked_host)]


class AgentsSettings(SettingGroup):
    """Agents in other processes."""

    agent_hosts: tuple[AgentHost, ...] = ()
    """Hosts besides this machine that agents and webhooks may be called at: names (`agents.example.com`,
    `*.svc.cluster.local`), IP addresses and networks (`10.0.0.0/8`). What registers with another address is
    refused."""

    approve_nodes: bool = False
    """An operator approves each node that registers before it is given work; see `approver_key`."""

    agent_token: SecretStr | None = None
    """Sent to agents as `Authorization: Bearer …`: what they call their internal token, with which they tell
    this server from anybody else who reaches them."""

    work_bytes_max: int = Field(default=4 * 1024 * 1024, ge=64 * 1024, le=32 * 1024 * 1024)
    """How large a request may be that gives an agent work, reports what came of it or registers an agent.
    What is larger is refused (413)."""

    agent_lease_s: float = Field(default=10.0, gt=0, le=600)
    """How long an agent that is connected by channel may be silent before it counts as gone: then another
    instance takes its sessions over, or their turns fail, and what it was running has failed."""
