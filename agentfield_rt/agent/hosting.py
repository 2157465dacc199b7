"""Finds who can host agents. The control plane registers itself, so agents work without its web framework."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agentfield_rt.errors import RealtimeError

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

HOSTS_GROUP = "agentfield_rt.hosts"


class Host(Protocol):
    """Serves agents until it is told to stop."""

    def __call__(
        self, agents: Sequence["Agent"], *, host: str | None, port: int | None, data: str | Path | None
    ) -> None: ...


def host_agents(
    agents: Sequence["Agent"], *, host: str | None, port: int | None, data: str | Path | None
) -> None:
    """Serve `agents` with the embedded control plane.

    Raises:
        RealtimeError: it is not installed.
    """
    for entry in entry_points(group=HOSTS_GROUP):
        if entry.name == "embedded":
            try:
                serve: Host = entry.load()
            except ImportError as error:
                raise RealtimeError(
                    f"the control plane needs {error.name}; pip install 'agentfield-rt[all]'"
                ) from error
            serve(agents, host=host, port=port, data=data)
            return
    raise RealtimeError("no control plane is installed; pip install 'agentfield-rt[all]'")
