"""Approvals: a question about one thing that is about to happen, and the one answer to it.

The opener keeps the reference's kind, which means the same: the question is about to be put. The reference
closes it with one kind, `approval_dispatch_result`, and a status; here every outcome has a kind of its own,
as everywhere in this journal, so that a sequence can be read, and searched, by names.
"""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import Reason


class ApprovalSubject(StrEnum):
    """What waits for the answer."""

    TOOL = "tool"
    INTERVENTION = "intervention"


class ApprovalDecision(StrEnum):
    """What can be answered: the reference's words."""

    APPROVED = "approved"
    APPROVED_FOR_SESSION = "approved_for_session"
    DENIED = "denied"


class ApprovalScope(StrEnum):
    """How far a grant reaches: this once, or the same target until the session ends."""

    ONCE = "once"
    SESSION = "session"


class Decider(StrEnum):
    """Who answered: code of the embedding service, or somebody through the control plane."""

    APPROVER = "approver"
    PERSON = "person"


class ApprovalRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens an approval. Durable before anybody is asked.

    `target` is the tool's target or the rule's id, `subject_op_id` the operation that waits, and
    `subject_ref` what it is about, for whoever decides. `repeats_op_id` names the approval of a process
    that died, which is asked again with this one.
    """

    kind: ClassVar[str] = "approval_dispatch_intent"
    op_id: str
    subject: ApprovalSubject
    target: str
    subject_op_id: str
    subject_ref: str
    expires_after_s: float
    allowed: tuple[ApprovalDecision, ...]
    repeats_op_id: str | None = None


class ApprovalGranted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It may happen. Durable before it does. `decider_ref` says who, where that is known."""

    kind: ClassVar[str] = "approval_granted"
    op_id: str
    scope: ApprovalScope
    decided_by: Decider
    decider_ref: str | None = None


class ApprovalDenied(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It does not happen. `reason` is set when nobody said no but the approver failed to answer."""

    kind: ClassVar[str] = "approval_denied"
    op_id: str
    decided_by: Decider
    decider_ref: str | None = None
    reason: Reason | None = None


class ApprovalExpired(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Nobody answered in time, which is never consent. `reason` is set when the process that asked died."""

    kind: ClassVar[str] = "approval_expired"
    op_id: str
    reason: Reason | None = None


class ApprovalCancelled(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Whatever waited for the answer is gone: the session ended, or its task was cancelled."""

    kind: ClassVar[str] = "approval_cancelled"
    op_id: str
