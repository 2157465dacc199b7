"""What needs an approval and how it is asked for. Knows no session and no journal."""

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field

from agentfield_rt.core.records import ApprovalDecision, ApprovalSubject


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """How one target is approved.

    Attributes:
        target: What needs it: a tool's target `node.name`, or a stream rule's id.
        approver: Answers first; None leaves every answer to people.
        expires_after_s: Without an answer by then, it does not happen.
        for_session: Whether one grant may hold for every later call of the target in the session.
    """

    target: str
    _: KW_ONLY
    approver: "Approver | None" = None
    expires_after_s: float = 60.0
    for_session: bool = True

    @property
    def allowed(self) -> tuple[ApprovalDecision, ...]:
        once = (ApprovalDecision.APPROVED, ApprovalDecision.DENIED)
        return (*once, ApprovalDecision.APPROVED_FOR_SESSION) if self.for_session else once


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody is asked to approve.

    Attributes:
        detail: What exactly is about to happen, e.g. the tool's arguments as JSON. It is content: a log is
            no place for it, and no repr shows it.
        allowed: The answers that are taken.
    """

    approval_id: str
    session_id: str
    subject: ApprovalSubject
    target: str
    detail: str = field(repr=False)
    expires_after_s: float
    allowed: tuple[ApprovalDecision, ...]


Approver = Callable[[Question], Awaitable[ApprovalDecision | None]]
"""Answers in the embedding service; None leaves the answer to people. One that raises, answers something
else or is cancelled has denied. It is cancelled when the answer came from elsewhere."""
