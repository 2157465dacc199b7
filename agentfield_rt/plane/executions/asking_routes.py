"""Executions that wait for somebody outside, in AgentField's shapes: asked, looked at, answered."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.core.records import PauseAnswer
from agentfield_rt.plane.approvals import check_approver
from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.executions.asking import Answer, Words
from agentfield_rt.plane.executions.pause import Question
from agentfield_rt.plane.http.dependencies import ID_CHARS_MAX, Plane
from agentfield_rt.plane.http.workflow_headers import ID_PATTERN
from agentfield_rt.plane.notation import iso

WORDS_CHARS_MAX = 16_000
HOURS_MAX = 24 * 366

router = APIRouter(tags=["executions"])

Id = Annotated[str, Path(max_length=2 * ID_CHARS_MAX)]
RequestId = Annotated[str, Field(pattern=f"^{ID_PATTERN}$")]
Feedback = Annotated[str | None, Field(max_length=WORDS_CHARS_MAX)]

Word = Literal[
    "approved", "rejected", "request_changes", "expired",
    "approve", "confirm", "continue", "reject", "deny", "denied", "abort", "cancel",
]  # fmt: skip
"""AgentField's words, and those of whoever asks people on an agent's behalf."""

_SYNONYMS = {
    **dict.fromkeys(("approve", "confirm", "continue"), PauseAnswer.APPROVED),
    **dict.fromkeys(("reject", "deny", "denied", "abort", "cancel"), PauseAnswer.REJECTED),
}


class AskBody(BaseModel):
    """`callback_url` is not called: the agent is told at the address that it registered."""

    model_config = ConfigDict(extra="ignore")

    approval_request_id: RequestId
    approval_request_url: str = Field(default="", max_length=2_048)
    expires_in_hours: int = Field(default=72, ge=1, le=HOURS_MAX)


class AwaitsBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: Literal["waiting", "running"]


class AnswerBody(BaseModel):
    """What was answered to what."""

    model_config = ConfigDict(extra="ignore")

    requestId: RequestId
    decision: Word
    feedback: Feedback = None
    response: dict[str, Any] | str | None = None

    def meant(self) -> Answer:
        """The same, in our words."""
        return _answer(self.requestId, self.decision, self.feedback, self.response)


class FilledBody(BaseModel):
    """What a person filled in, besides what else the form had."""

    model_config = ConfigDict(extra="allow")

    decision: Word | None = None
    action: Word | None = None
    feedback: Feedback = None


class AskedBody(BaseModel):
    """Who was asked, and what they said."""

    model_config = ConfigDict(extra="ignore")

    requestId: RequestId
    response: FilledBody | None = None


class EnvelopeBody(BaseModel):
    """The same as a service that asks people sends it; a form without a decision was agreed to."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["completed", "expired"]
    data: AskedBody

    def meant(self) -> Answer:
        """The same, in our words."""
        filled = self.data.response or FilledBody()
        word = "expired" if self.type == "expired" else filled.decision or filled.action or "approved"
        response = filled.model_dump(exclude_none=True)
        return _answer(self.data.requestId, word, filled.feedback, response)


def _answer(
    request_id: str, word: str, feedback: str | None, response: dict[str, Any] | str | None
) -> Answer:
    words = {"feedback": feedback, "response": response}
    return Answer(
        request_id=request_id,
        answer=_SYNONYMS.get(word) or PauseAnswer(word),
        words={name: value for name, value in words.items() if value},
    )


@router.post("/api/v1/agents/{node_id}/executions/{execution_id}/request-approval")
async def ask(node_id: Id, execution_id: Id, body: AskBody, plane: Plane) -> dict[str, Any]:
    """An agent's execution waits for somebody's answer; durable when this answers."""
    asked = await plane.asking.ask(
        node_id,
        execution_id,
        request_id=body.approval_request_id,
        url=body.approval_request_url,
        expires_after_s=body.expires_in_hours * 3600,
    )
    return {
        "approval_request_id": asked.request_id,
        "approval_request_url": body.approval_request_url,
        "status": "pending",
        "expires_at": iso(asked.expires_at),
    }


@router.get("/api/v1/agents/{node_id}/executions/{execution_id}/approval-status")
async def asked(node_id: Id, execution_id: Id, plane: Plane) -> dict[str, Any]:
    """What an execution asked last, and what was answered; as long as this server remembers it."""
    execution = await plane.executions.get(execution_id)
    if execution.node_id != node_id:
        raise NotFound(f"execution {execution_id} not found")
    question = None if execution.pauses is None else execution.pauses.question
    if question is None:
        raise NotFound("no approval request exists for this execution")
    return _view(question, await plane.asking.words(question))


def _view(question: Question, words: Words) -> dict[str, Any]:
    view: dict[str, Any] = {
        "status": question.answer or "pending",
        "approval_request_id": question.request_id,
        "requested_at": iso(question.asked_at),
        "expires_at": iso(question.expires_at),
    }
    if question.answered_at is not None:
        view["responded_at"] = iso(question.answered_at)
    if "approval_request_url" in words:
        view["request_url"] = words.pop("approval_request_url")
    return view | ({"response": words} if words else {})


@router.post("/api/v1/agents/{node_id}/executions/{execution_id}/awaiter-status")
async def awaits(node_id: Id, execution_id: Id, body: AwaitsBody, plane: Plane) -> dict[str, str]:
    """An agent's execution waits for one that it called and that waits, or goes on."""
    await plane.asking.awaits(node_id, execution_id, waits=body.status == "waiting")
    return {"execution_id": execution_id, "status": body.status}


@router.post("/api/v1/webhooks/approval-response", dependencies=[Depends(check_approver)])
async def answer(body: AnswerBody | EnvelopeBody, plane: Plane) -> dict[str, Any]:
    """Somebody answers; durable when this answers, and then the agent is told. The first answer holds."""
    execution, question, is_first = await plane.asking.answer(body.meant())
    return {
        "status": "processed" if is_first else "already_processed",
        "execution_id": execution.execution_id,
        "decision": question.answer,
        "new_status": execution.standing,
    }
