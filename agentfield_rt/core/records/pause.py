"""An execution that its node has waits: for somebody's answer, or for one that it called and that waits."""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record


class PauseAnswer(StrEnum):
    """What somebody answered, in AgentField's words; the last one is that nobody did in time."""

    APPROVED = "approved"
    REJECTED = "rejected"
    REQUEST_CHANGES = "request_changes"
    EXPIRED = "expired"


class ExecutionPaused(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It waits. Without `request_id`, for one that it called; `asked_ref` is what somebody has to look at."""

    kind: ClassVar[str] = "execution_paused"
    execution_id: str
    request_id: str | None = None
    asked_ref: str | None = None
    expires_after_s: int = 0


class ExecutionResumed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It goes on, with what was answered if it had asked; the answer's words are behind `answer_ref`."""

    kind: ClassVar[str] = "execution_resumed"
    execution_id: str
    answer: PauseAnswer | None = None
    answer_ref: str | None = None
