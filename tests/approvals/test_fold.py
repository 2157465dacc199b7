"""The fold of approvals: total on what we write, loud on what cannot be."""

from collections.abc import Sequence

import pytest

from agentfield_rt.core import approvals as core
from agentfield_rt.core import records
from agentfield_rt.core.records import ApprovalDecision, ApprovalScope, ApprovalSubject, Decider, Record
from agentfield_rt.errors import Reason, ReplayMismatch

ONCE = (ApprovalDecision.APPROVED, ApprovalDecision.DENIED)


def asked(op_id: str = "appr_1", *, call: str = "call_1", target: str = "desk.refund") -> Record:
    return records.ApprovalRequested(
        op_id=op_id,
        subject=ApprovalSubject.TOOL,
        target=target,
        subject_op_id=call,
        subject_ref="ref",
        expires_after_s=60,
        allowed=(*ONCE, ApprovalDecision.APPROVED_FOR_SESSION) if target == "desk.refund" else ONCE,
    )


def granted(op_id: str = "appr_1", scope: ApprovalScope = ApprovalScope.ONCE) -> Record:
    return records.ApprovalGranted(op_id=op_id, scope=scope, decided_by=Decider.PERSON)


def ran(call: str = "call_1", approval: str | None = "appr_1", target: str = "desk.refund") -> Record:
    return records.ToolIntentRecorded(op_id=call, target=target, approval_op_id=approval)


STARTED = records.SessionStarted(
    target="desk.phone", provider="local", transport="websocket", approvals=("desk.refund",)
)
DENIED = records.ApprovalDenied(op_id="appr_1", decided_by=Decider.PERSON)
FOR_SESSION = ApprovalScope.SESSION


@pytest.mark.parametrize(
    "history",
    [
        [STARTED, asked(), granted(), ran()],
        [STARTED, asked(), granted(scope=FOR_SESSION), ran(), ran("call_2")],
        [STARTED, ran("call_1", None, "desk.look_up")],
        [STARTED, asked(), DENIED, asked("appr_2"), granted("appr_2"), ran(approval="appr_2")],
    ],
)
def test_what_is_written_can_be_read(history: Sequence[Record]) -> None:
    core.replay(history)


@pytest.mark.parametrize(
    ("history", "says"),
    [
        ([asked(), asked()], "asked for twice"),
        ([granted()], "not pending"),
        ([asked(), granted(), DENIED], "not pending"),
        ([asked(target="desk.delete"), granted(scope=FOR_SESSION)], "as it could not be"),
        ([STARTED, ran(approval=None)], "without the approval"),
        ([STARTED, asked(), ran()], "does not allow"),
        ([STARTED, asked(), DENIED, ran()], "does not allow"),
        ([STARTED, asked(), granted(), ran("call_2")], "does not allow"),
        ([STARTED, asked(), granted(scope=FOR_SESSION), ran(target="desk.delete")], "does not allow"),
    ],
)
def test_what_cannot_be_is_not_read_over(history: Sequence[Record], says: str) -> None:
    with pytest.raises(ReplayMismatch, match=says):
        core.replay(history)


def test_what_came_second_comes_to_nothing() -> None:
    state = core.replay([asked(), granted()])
    assert core.fail(state, "appr_1", Reason.TIMEOUT) is None
    assert core.expire(state, "appr_1") is None
    assert core.cancel(state, "appr_1") is None
    assert core.find(state, "appr_1").status is core.ApprovalStatus.APPROVED
    assert core.find(core.replay([asked()]), "appr_1").status is core.ApprovalStatus.PENDING


def test_only_so_many_answers_are_remembered() -> None:
    history: list[Record] = []
    for number in range(core.CLOSED_MAX + 1):
        history += [asked(f"appr_{number}"), granted(f"appr_{number}")]
    state = core.replay(history)
    assert len(state.closed) == core.CLOSED_MAX
    with pytest.raises(core.UnknownApproval):
        core.find(state, "appr_0")
