"""What route functions ask for: their plane, who asks, the session it is about, AgentField's headers."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from agentfield_rt.plane.access import Caller, caller_of
from agentfield_rt.plane.catalogue.rows import SessionRow
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.errors import Gone, NotFound, SessionNotFound
from agentfield_rt.plane.notation import workflow_id_of
from agentfield_rt.voice.session import VoiceSession


def the_plane(request: Request) -> ControlPlane:
    """The plane this application serves."""
    plane: ControlPlane = request.app.state.plane
    return plane


ID_CHARS_MAX = 128
CURSOR_MAX = 2**63 - 1
"""A journal's sequence numbers are 64 bit."""

Plane = Annotated[ControlPlane, Depends(the_plane)]


def the_caller(request: Request) -> Caller:
    """Who asks."""
    return caller_of(request.scope)


Asking = Annotated[Caller, Depends(the_caller)]


async def the_record_of(session_id: str, plane: Plane, caller: Asking) -> SessionRow:
    """What the journal says of the session in the address, live or not.

    Raises:
        SessionNotFound: there is none, or it is somebody else's.
    """
    row = await plane.catalogue.session(session_id)
    if row is None or not caller.may_use(session_id, row.owner):
        raise SessionNotFound(session_id)
    return row


Recorded = Annotated[SessionRow, Depends(the_record_of)]


async def the_run_id(
    run_id: Annotated[str, Path(max_length=2 * ID_CHARS_MAX)], plane: Plane, caller: Asking
) -> str:
    """The run in the address; that there is one is not said.

    Raises:
        NotFound: it is of somebody else's session.
    """
    run = await plane.catalogue.run(workflow_id_of(run_id))
    if run is not None and run.session_id is not None:
        row = await plane.catalogue.session(run.session_id)
        if row is not None and not caller.may_use(row.session_id, row.owner):
            raise NotFound("workflow not found")
    return run_id


ReadableRun = Annotated[str, Depends(the_run_id)]


async def the_session(session_id: str, plane: Plane, caller: Asking) -> VoiceSession:
    """The session in the address: live, or over for a while.

    Raises:
        NotFound: there is none, or it is somebody else's.
        Gone: it is over, and nothing but its records is left.
    """
    try:
        return plane.sessions.get(session_id, caller)
    except NotFound:
        await the_record_of(session_id, plane, caller)
    raise Gone(f"session {session_id} is over; start a new one")


Session = Annotated[VoiceSession, Depends(the_session)]
"""Nobody is given one that is somebody else's."""


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
