"""Finds who can host agents. The control plane registers itself, so agents work without its web framework."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agentfield_rt.errors import RealtimeError
from agentfield_rt.extensions import Extensions, NotInstalled

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent


class Host(Protocol):
    """Serves agents until it is told to stop."""

    def __call__(
        self, agents: Sequence["Agent"], *, host: str | None, port: int | None, data: str | Path | None
    ) -> None: ...


HOSTS = Extensions[Host]("agentfield_rt.hosts")


def host_agents(
    agents: Sequence["Agent"], *, host: str | None, port: int | None, data: str | Path | None
) -> None:
    """Serve `agents` with the embedded control plane.

    Raises:
        RealtimeError: it is not installed.
    """
    try:
        serve = HOSTS.load("embedded")
    except NotInstalled as missing:
        why = f"the control plane needs {missing.lacks}" if missing.lacks else "no control plane is installed"
        raise RealtimeError(f"{why}; pip install 'agentfield-rt[all]'") from missing
    serve(agents, host=host, port=port, data=data)
