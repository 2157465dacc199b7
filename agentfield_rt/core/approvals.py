"""What was asked and what was answered: the fold of one session's approvals, and what may be answered next.

Knows no clock: that an approval is overdue, the driver says (`agentfield_rt.approvals`).
"""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from agentfield_rt.core import records
from agentfield_rt.core.records import ApprovalDecision, ApprovalScope, ApprovalSubject, Decider, Record
from agentfield_rt.errors import IllegalCommand, Reason, ReplayMismatch

PENDING_MAX = 64
CLOSED_MAX = 1_024
"""Answers remembered, so that the same answer given again is no error. A late one finds none."""

STANDING_MAX = 256
"""Grants that hold until the session ends. The oldest is forgotten first, and then asked for again."""

Answer = records.ApprovalGranted | records.ApprovalDenied
Closer = Answer | records.ApprovalExpired | records.ApprovalCancelled
Key = TypeVar("Key")
Value = TypeVar("Value")


class ApprovalStatus(StrEnum):
    """Where an approval stands; all but the first are final."""

    PENDING = "pending"
    APPROVED = "approved"
    APPROVED_FOR_SESSION = "approved_for_session"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class DecisionRefused(IllegalCommand):
    """The answer is none of the allowed ones, or came after another; `status` is what holds."""

    def __init__(self, message: str, *, status: ApprovalStatus) -> None:
        super().__init__(message)
        self.status = status


class UnknownApproval(IllegalCommand):
    """No approval of this id is, or recently was, asked for in this session."""


class Approval(msgspec.Struct, frozen=True, gc=False):
    """A question and, once there is one, its answer."""

    request: records.ApprovalRequested
    closer: Closer | None = None

    @property
    def id(self) -> str:
        return self.request.op_id

    @property
    def status(self) -> ApprovalStatus:
        match self.closer:
            case None:
                return ApprovalStatus.PENDING
            case records.ApprovalGranted(scope=ApprovalScope.SESSION):
                return ApprovalStatus.APPROVED_FOR_SESSION
            case records.ApprovalGranted():
                return ApprovalStatus.APPROVED
            case records.ApprovalDenied():
                return ApprovalStatus.DENIED
            case records.ApprovalExpired():
                return ApprovalStatus.EXPIRED
            case records.ApprovalCancelled():
                return ApprovalStatus.CANCELLED

    @property
    def is_granted(self) -> bool:
        return isinstance(self.closer, records.ApprovalGranted)


class ApprovalsState(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of one session's approvals.

    Attributes:
        pending: Openers without a closer, oldest first.
        closed: The last `CLOSED_MAX` that were closed, oldest first.
        standing: Grants that hold until the session ends, by what they allow.
        required: Targets that this session runs only with an approval.
    """

    pending: Mapping[str, records.ApprovalRequested] = {}
    closed: Mapping[str, Approval] = {}
    standing: Mapping[tuple[ApprovalSubject, str], Approval] = {}
    required: frozenset[str] = frozenset()

    def allows(self, op_id: str, subject: ApprovalSubject, target: str, *, subject_op_id: str) -> bool:
        """Whether the approval `op_id` allows this operation: granted for it, or standing for its target."""
        standing = self.standing.get((subject, target))
        if standing is not None and standing.id == op_id:
            return True
        approval = self.closed.get(op_id)
        if approval is None or not approval.is_granted:
            return False
        request = approval.request
        return (request.subject, request.target, request.subject_op_id) == (subject, target, subject_op_id)

    def left_behind(self, waited_for: Collection[str]) -> tuple[records.ApprovalRequested, ...]:
        """Questions of processes that died, oldest first: still pending and not `waited_for`, or closed as
        lost, unless they were asked anew since."""
        closed = [
            approval.request
            for approval in self.closed.values()
            if isinstance(approval.closer, records.ApprovalExpired)
            and approval.closer.reason is Reason.PROCESS_LOST
        ]
        pending = [request for request in self.pending.values() if request.op_id not in waited_for]
        asked = (*self.pending.values(), *(approval.request for approval in self.closed.values()))
        repeated = {request.repeats_op_id for request in asked}
        return tuple(request for request in (*closed, *pending) if request.op_id not in repeated)


def evolve(state: ApprovalsState, record: Record) -> ApprovalsState:
    """The state after `record`; records of other features change nothing.

    Raises:
        ReplayMismatch: It cannot follow: an approval opened or closed twice, or a tool that needs one and
            has none.
    """
    match record:
        case records.ApprovalRequested():
            if record.op_id in state.pending or record.op_id in state.closed:
                raise ReplayMismatch(f"approval {record.op_id} is asked for twice")
            return replace(state, pending={**state.pending, record.op_id: record})
        case (
            records.ApprovalGranted()
            | records.ApprovalDenied()
            | records.ApprovalExpired()
            | records.ApprovalCancelled()
        ):
            return _closed(state, record)
        case records.SessionStarted():
            return replace(state, required=frozenset(record.approvals))
        case records.ToolIntentRecorded():
            _check_tool(state, record)
            return state
        case _:
            return state


def replay(history: Iterable[Record]) -> ApprovalsState:
    """Fold one session's records, from its first. What is still pending, the process that asked left open."""
    state = ApprovalsState()
    for record in history:
        state = evolve(state, record)
    return state


def _closed(state: ApprovalsState, closer: Closer) -> ApprovalsState:
    request = state.pending.get(closer.op_id)
    if request is None:
        raise ReplayMismatch(f"{closer.kind} closes {closer.op_id}, which is not pending")
    approval = Approval(request, closer)
    if approval.is_granted and _decision_of(approval) not in request.allowed:
        raise ReplayMismatch(f"approval {closer.op_id} was granted as it could not be")
    standing = state.standing
    if approval.status is ApprovalStatus.APPROVED_FOR_SESSION:
        standing = _with(standing, (request.subject, request.target), approval, STANDING_MAX)
    return replace(
        state,
        pending={op_id: other for op_id, other in state.pending.items() if op_id != closer.op_id},
        closed=_with(state.closed, closer.op_id, approval, CLOSED_MAX),
        standing=standing,
    )


def _with(mapping: Mapping[Key, Value], key: Key, value: Value, size_max: int) -> dict[Key, Value]:
    """`mapping` with the newest last, without the oldest where it would be too large."""
    longer = {**mapping, key: value}
    while len(longer) > size_max:
        del longer[next(iter(longer))]
    return longer


def _check_tool(state: ApprovalsState, intent: records.ToolIntentRecorded) -> None:
    """A tool that needs an approval has one before its intent."""
    if intent.approval_op_id is None:
        if intent.target in state.required:
            raise ReplayMismatch(f"tool call {intent.op_id} ran without the approval it needs")
    elif not state.allows(
        intent.approval_op_id, ApprovalSubject.TOOL, intent.target, subject_op_id=intent.op_id
    ):
        raise ReplayMismatch(f"{intent.approval_op_id} does not allow tool call {intent.op_id}")


# What may be written next.


def ask(state: ApprovalsState, request: records.ApprovalRequested) -> records.ApprovalRequested:
    """Refuses what cannot be asked.

    Raises:
        IllegalCommand: As many approvals are pending as may be, or nothing could be granted.
    """
    if len(state.pending) >= PENDING_MAX:
        raise IllegalCommand(f"{PENDING_MAX} approvals of this session are pending already")
    if request.expires_after_s <= 0 or not set(request.allowed) - {ApprovalDecision.DENIED}:
        raise IllegalCommand("an approval needs time to be answered and an answer that grants it")
    return request


def answer(
    state: ApprovalsState,
    op_id: str,
    decision: ApprovalDecision,
    *,
    decided_by: Decider,
) -> Answer | None:
    """The closer that `decision` comes to; None when exactly this was decided before.

    Raises:
        DecisionRefused: It is not among the allowed answers, or another outcome stands already.
        UnknownApproval: Nothing of this id was asked.
    """
    approval = find(state, op_id)
    if approval.closer is not None:
        if _decision_of(approval) is decision:
            return None
        raise DecisionRefused(
            f"approval {op_id} is {approval.status} already; that does not change", status=approval.status
        )
    if decision not in approval.request.allowed:
        allowed = ", ".join(approval.request.allowed)
        raise DecisionRefused(
            f"approval {op_id} cannot be answered with {decision}; allowed: {allowed}",
            status=ApprovalStatus.PENDING,
        )
    if decision is ApprovalDecision.DENIED:
        return records.ApprovalDenied(op_id=op_id, decided_by=decided_by)
    is_standing = decision is ApprovalDecision.APPROVED_FOR_SESSION
    scope = ApprovalScope.SESSION if is_standing else ApprovalScope.ONCE
    return records.ApprovalGranted(op_id=op_id, scope=scope, decided_by=decided_by)


def fail(state: ApprovalsState, op_id: str, reason: Reason) -> Closer | None:
    """The approver did not answer as it should: that is a no. None when something else came first."""
    if op_id not in state.pending:
        return None
    return records.ApprovalDenied(op_id=op_id, decided_by=Decider.APPROVER, reason=reason)


def expire(state: ApprovalsState, op_id: str) -> Closer | None:
    """Its time is over. None when it was answered before."""
    return records.ApprovalExpired(op_id=op_id) if op_id in state.pending else None


def cancel(state: ApprovalsState, op_id: str) -> Closer | None:
    """Nobody waits for it any more. None when it was answered before."""
    return records.ApprovalCancelled(op_id=op_id) if op_id in state.pending else None


def find(state: ApprovalsState, op_id: str) -> Approval:
    """The approval of this id.

    Raises:
        UnknownApproval: Nothing of this id was asked, or too long ago.
    """
    if (request := state.pending.get(op_id)) is not None:
        return Approval(request)
    if (approval := state.closed.get(op_id)) is not None:
        return approval
    raise UnknownApproval(f"approval {op_id} is not known in this session")


_DECISIONS = {
    ApprovalStatus.APPROVED: ApprovalDecision.APPROVED,
    ApprovalStatus.APPROVED_FOR_SESSION: ApprovalDecision.APPROVED_FOR_SESSION,
    ApprovalStatus.DENIED: ApprovalDecision.DENIED,
}


def _decision_of(approval: Approval) -> ApprovalDecision | None:
    return _DECISIONS.get(approval.status)
