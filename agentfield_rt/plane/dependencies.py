"""What route functions ask for: the plane they serve, and AgentField's workflow headers."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from agentfield_rt.plane.control_plane import ControlPlane


def the_plane(request: Request) -> ControlPlane:
    """The plane this application serves."""
    plane: ControlPlane = request.app.state.plane
    return plane


ID_CHARS_MAX = 128

Plane = Annotated[ControlPlane, Depends(the_plane)]


@dataclass(frozen=True, slots=True)
class Workflow:
    """Where a call belongs; an empty header counts as none."""

    run_id: str | None
    session_id: str | None
    parent_execution_id: str | None


def the_workflow(
    x_run_id: Annotated[str | None, Header(max_length=ID_CHARS_MAX)] = None,
    x_session_id: Annotated[str | None, Header(max_length=ID_CHARS_MAX)] = None,
    x_parent_execution_id: Annotated[str | None, Header(max_length=ID_CHARS_MAX)] = None,
) -> Workflow:
    return Workflow(x_run_id or None, x_session_id or None, x_parent_execution_id or None)


WorkflowHeaders = Annotated[Workflow, Depends(the_workflow)]
