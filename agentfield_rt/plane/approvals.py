"""Approvals over HTTP: what waits for an answer in any session, and a person's answer to it."""

import secrets
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.approvals import Approval, ApprovalDecision, Question, UnknownApproval
from agentfield_rt.plane.access import Caller
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.errors import NotAllowed, NotFound
from agentfield_rt.plane.http.dependencies import ID_CHARS_MAX, Asking, Plane, the_record_of
from agentfield_rt.voice.session import VoiceSession


def check_approver(plane: Plane, x_api_key: Annotated[str | None, Header()] = None) -> None:
    """Where approvers have a key, nobody else gets further than this.

    Raises:
        NotAllowed: it is missing or wrong.
    """
    key = plane.settings.approver_key
    if key is None:
        return
    if not secrets.compare_digest(key.get_secret_value().encode(), (x_api_key or "").encode()):
        raise NotAllowed("approvals need the approvers' key of this server, as X-API-Key")


router = APIRouter(prefix="/api/v1", tags=["approvals"], dependencies=[Depends(check_approver)])


class DecisionBody(BaseModel):
    """`decided_by` is how the host knows the person; it is kept as content."""

    model_config = ConfigDict(extra="forbid")

    decision: ApprovalDecision
    decided_by: str | None = Field(default=None, min_length=1, max_length=ID_CHARS_MAX)


@router.get("/approvals")
async def list_approvals(plane: Plane, caller: Asking, session_id: str | None = None) -> dict[str, Any]:
    """Everything that waits for an answer, in one session or in all of them.

    Raises:
        SessionNotFound: there is none of this id, or it is somebody else's; one that has ended is found.
    """
    asked = [each for each in _sessions(plane, caller) if session_id in (None, each.session_id)]
    if session_id is not None and not asked:
        await the_record_of(session_id, plane, caller)
    return {
        "approvals": [
            _question(session, question) for session in asked for question in session.approvals.pending
        ]
    }


@router.post("/approvals/{approval_id}/decision")
async def decide(approval_id: str, body: DecisionBody, plane: Plane, caller: Asking) -> dict[str, str]:
    """Answer. The same answer again is answered the same; another one is refused."""
    for session in _sessions(plane, caller):
        try:
            approval = await session.approvals.decide(approval_id, body.decision, decider=body.decided_by)
        except UnknownApproval:
            continue
        return _outcome(session, approval)
    raise NotFound(f"approval '{approval_id}' not found; GET /api/v1/approvals lists what waits")


def _sessions(plane: ControlPlane, caller: Caller) -> Iterator[VoiceSession]:
    """Those whose approvals are the caller's to give: where approvers have a key of their own, all."""
    return (
        session
        for session in plane.sessions
        if plane.settings.approver_key is not None or caller.may_use(session.session_id, session.spec.owner)
    )


def _question(session: VoiceSession, question: Question) -> dict[str, Any]:
    return {
        "approval_id": question.approval_id,
        "session_id": session.session_id,
        "run_id": session.run_id,
        "subject": question.subject,
        "target": question.target,
        "detail": question.detail,
        "allowed": question.allowed,
        "expires_in_s": round(session.approvals.remaining_s(question.approval_id), 3),
    }


def _outcome(session: VoiceSession, approval: Approval) -> dict[str, str]:
    return {"approval_id": approval.id, "session_id": session.session_id, "status": approval.status}
