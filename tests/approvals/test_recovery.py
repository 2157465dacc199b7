"""What a process that died left behind, and what the next one makes of it."""

import asyncio

import pytest

from agentfield_journal import JournalError
from agentfield_rt.approvals import ApprovalRule, Approvals, ApprovalSubject, DecisionRefused
from agentfield_rt.core import approvals as core
from agentfield_rt.core import records
from tests.approvals.scene import APPROVED, SECRET, TARGET, answers
from tests.approvals.stage import SESSION_ID, Stage, settle
from tests.virtual_time import in_virtual_time


@in_virtual_time
async def test_what_a_dead_process_left_pending_expires_or_is_asked_again() -> None:
    stage = Stage()
    first = Approvals(await stage.open_run(), stage.content, session_id=SESSION_ID)
    for number, target in enumerate(("desk.refund", "desk.refund", "desk.other")):
        rule = ApprovalRule(target, expires_after_s=1_000)
        waiting = first.request(ApprovalSubject.TOOL, rule, op_id=f"call_{number}", detail=SECRET)
        asyncio.get_running_loop().create_task(waiting).add_done_callback(lambda task: task.exception())
    await settle()
    stage.faults.appends_left = 0

    run = await stage.open_run()
    left = await stage.history()
    second = Approvals(run, stage.content, session_id=SESSION_ID, history=left)
    assert len(second.state.pending) == 3
    assert second.pending == (), "nobody of this process waits for them"
    asked = await second.recover({"desk.refund": ApprovalRule("desk.refund", approver=answers(APPROVED))})
    assert len(asked) == 2
    assert all([(await second.outcome(approval_id)).is_granted for approval_id in asked])
    requests = [second.state.closed[approval_id].request for approval_id in asked]
    assert [r.repeats_op_id for r in requests] == [r.op_id for r in core.replay(left).pending.values()][:2]
    expired = [r for r in await stage.history() if isinstance(r, records.ApprovalExpired)]
    assert len(expired) == 3
    assert not second.state.pending
    await first.close()
    await second.close()
    await stage.close()


@in_virtual_time
async def test_a_question_whose_content_was_erased_expires_and_is_not_asked_again() -> None:
    stage = Stage()
    first = Approvals(await stage.open_run(), stage.content, session_id=SESSION_ID)
    request = asyncio.create_task(
        first.request(ApprovalSubject.TOOL, ApprovalRule(TARGET), op_id="call_1", detail=SECRET)
    )
    await settle()
    stage.faults.appends_left = 0
    request.cancel()
    await stage.content.erase(SESSION_ID)
    second = Approvals(
        await stage.open_run(), stage.content, session_id=SESSION_ID, history=await stage.history()
    )
    assert await second.recover({TARGET: ApprovalRule(TARGET)}) == ()
    assert not second.state.pending
    await stage.close()


@in_virtual_time
@pytest.mark.parametrize("dies_at", range(5))
async def test_a_process_that_dies_at_any_append_leaves_an_answer_or_a_question_that_is_closed_later(
    dies_at: int,
) -> None:
    stage = Stage()
    first = Approvals(await stage.open_run(), stage.content, session_id=SESSION_ID)
    stage.faults.appends_left = dies_at
    granted = 0
    for number in range(2):
        rule = ApprovalRule(TARGET, approver=answers(APPROVED))
        try:
            approval = await first.request(ApprovalSubject.TOOL, rule, op_id=f"call_{number}", detail=SECRET)
        except JournalError:
            break
        granted += approval.is_granted
    second = Approvals(
        await stage.open_run(), stage.content, session_id=SESSION_ID, history=await stage.history()
    )
    assert len(second.state.pending) == dies_at % 2
    assert await second.recover() == ()
    recorded = [r for r in await stage.history() if isinstance(r, records.ApprovalGranted)]
    assert granted <= len(recorded) <= granted + 1, "an answer may be durable that nobody heard"
    assert core.replay(await stage.history()) == second.state
    assert not second.state.pending
    await stage.close()


@in_virtual_time
async def test_what_a_dead_process_left_pending_cannot_be_granted_any_more() -> None:
    stage = Stage()
    first = Approvals(await stage.open_run(), stage.content, session_id=SESSION_ID)
    request = asyncio.create_task(
        first.request(ApprovalSubject.TOOL, ApprovalRule(TARGET), op_id="call_1", detail=SECRET)
    )
    await settle()
    stage.faults.appends_left = 0
    request.cancel()
    second = Approvals(
        await stage.open_run(), stage.content, session_id=SESSION_ID, history=await stage.history()
    )
    (left,) = second.state.pending
    with pytest.raises(DecisionRefused, match="expired already"):
        await second.decide(left, APPROVED)
    await stage.close()
