"""Approvals, story by story: asked when durable, answered once, and never by default."""

import asyncio

import pytest

from agentfield_journal import JournalError
from agentfield_rt.approvals import (
    ApprovalDecision,
    ApprovalStatus,
    Approver,
    Decider,
    DecisionRefused,
    Question,
    UnknownApproval,
)
from agentfield_rt.core import approvals as core
from agentfield_rt.core import records
from agentfield_rt.errors import IllegalCommand, Reason, SessionClosed
from tests.approvals.scene import APPROVED, DENIED, FOR_SESSION, SECRET, TARGET, answers, raises, scene
from tests.approvals.stage import settle
from tests.virtual_time import in_virtual_time, time_passes


@in_virtual_time
async def test_an_approver_is_asked_when_the_question_is_durable_and_heard_when_the_answer_is() -> None:
    async with scene() as s:
        asked: list[Question] = []

        async def approver(question: Question) -> ApprovalDecision:
            assert await s.stage.kinds() == ["approval_dispatch_intent"]
            asked.append(question)
            return APPROVED

        approval = await s.ask(approver)
        assert await s.stage.kinds() == ["approval_dispatch_intent", "approval_granted"]
        assert (approval.status, approval.is_granted) == (ApprovalStatus.APPROVED, True)
        (question,) = asked
        assert (question.target, question.detail) == (TARGET, SECRET)
        assert SECRET not in repr(question)
        granted = (await s.closers())[0]
        assert (granted.scope, granted.decided_by) == (records.ApprovalScope.ONCE, Decider.APPROVER)


@in_virtual_time
async def test_a_grant_for_the_session_is_not_asked_for_again() -> None:
    async with scene() as s:

        async def approver(question: Question) -> ApprovalDecision:
            return FOR_SESSION

        first = await s.ask(approver)
        second = await s.ask()
        assert second == first
        assert len(await s.stage.kinds()) == 2


@in_virtual_time
async def test_a_grant_for_once_is_asked_for_again() -> None:
    async with scene() as s:

        async def approver(question: Question) -> ApprovalDecision:
            return APPROVED

        assert (await s.ask(approver)).id != (await s.ask(approver)).id


@in_virtual_time
async def test_nobody_answers_and_it_expires() -> None:
    async with scene() as s:
        request = s.ask(expires_after_s=20)
        await time_passes(19)
        assert not request.done()
        await time_passes(1.5)
        assert (await request).status is ApprovalStatus.EXPIRED
        assert await s.stage.kinds() == ["approval_dispatch_intent", "approval_expired"]


@in_virtual_time
async def test_an_answer_after_its_time_is_refused_even_when_the_timer_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scene() as s:
        request = s.ask(expires_after_s=20)
        question = await s.pending()
        late_s = asyncio.get_running_loop().time() + 21
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: late_s)
        with pytest.raises(DecisionRefused, match="expired already") as refused:
            await s.approvals.decide(question.approval_id, APPROVED)
        monkeypatch.undo()
        assert refused.value.status is ApprovalStatus.EXPIRED
        assert not (await request).is_granted


@in_virtual_time
@pytest.mark.parametrize(
    ("approver", "reason"),
    [
        (answers(DENIED), None),
        (raises(RuntimeError(SECRET)), Reason.HANDLER_ERROR),
        (raises(SystemExit(1)), Reason.HANDLER_ERROR),
        (raises(BaseExceptionGroup("a group", [asyncio.CancelledError()])), Reason.HANDLER_ERROR),
        (raises(asyncio.CancelledError()), Reason.CANCELLED),
        (answers(True), Reason.INVALID_REQUEST),
        (answers("approved"), Reason.INVALID_REQUEST),
        (answers(FOR_SESSION), Reason.INVALID_REQUEST),
    ],
)
async def test_an_approver_that_does_not_grant_has_denied(approver: Approver, reason: Reason | None) -> None:
    async with scene() as s:
        approval = await s.ask(approver, for_session=False)
        assert approval.status is ApprovalStatus.DENIED
        (denied,) = await s.closers()
        assert denied.reason is reason


@in_virtual_time
async def test_an_approver_that_hangs_lets_it_expire_and_is_cancelled() -> None:
    async with scene() as s:
        stopped = asyncio.Event()

        async def approver(question: Question) -> ApprovalDecision:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            return APPROVED

        assert (await s.ask(approver)).status is ApprovalStatus.EXPIRED
        await settle()
        assert stopped.is_set()


@in_virtual_time
async def test_an_approver_may_leave_the_answer_to_people() -> None:
    async with scene() as s:
        request = s.ask(answers(None))
        question = await s.pending()
        await s.approvals.decide(question.approval_id, APPROVED, decider="supervisor@example.com")
        assert (await request).is_granted
        (granted,) = await s.closers()
        assert granted.decided_by is Decider.PERSON
        assert await s.stage.content.get(granted.decider_ref) == b"supervisor@example.com"


@in_virtual_time
async def test_a_person_who_is_faster_than_the_approver_has_answered() -> None:
    async with scene() as s:
        slow = asyncio.Event()

        async def approver(question: Question) -> ApprovalDecision:
            await slow.wait()
            return APPROVED

        request = s.ask(approver)
        question = await s.pending()
        await s.approvals.decide(question.approval_id, DENIED)
        slow.set()
        assert (await request).status is ApprovalStatus.DENIED
        await settle()
        assert len(await s.closers()) == 1


@in_virtual_time
async def test_the_same_answer_again_changes_nothing_and_another_one_is_refused() -> None:
    async with scene() as s:
        request = s.ask()
        question = await s.pending()
        for _ in range(3):
            approval = await s.approvals.decide(question.approval_id, APPROVED)
            assert approval.status is ApprovalStatus.APPROVED
        for other in (DENIED, FOR_SESSION):
            with pytest.raises(DecisionRefused, match="approved already"):
                await s.approvals.decide(question.approval_id, other)
        assert (await request).is_granted
        assert len(await s.closers()) == 1


@in_virtual_time
async def test_an_answer_that_is_not_allowed_is_refused_and_the_question_stays() -> None:
    async with scene() as s:
        request = s.ask(for_session=False)
        question = await s.pending()
        with pytest.raises(DecisionRefused, match="allowed: approved, denied"):
            await s.approvals.decide(question.approval_id, FOR_SESSION)
        assert s.approvals.pending == (question,)
        await s.approvals.decide(question.approval_id, DENIED)
        assert not (await request).is_granted


@in_virtual_time
async def test_an_approval_nobody_asked_for_cannot_be_answered() -> None:
    async with scene() as s:
        with pytest.raises(UnknownApproval):
            await s.approvals.decide("appr_0", APPROVED)


@in_virtual_time
async def test_whoever_stops_waiting_takes_the_question_back() -> None:
    async with scene() as s:
        request = s.ask()
        question = await s.pending()
        request.cancel()
        await settle()
        assert [record.kind for record in await s.closers()] == ["approval_cancelled"]
        with pytest.raises(DecisionRefused):
            await s.approvals.decide(question.approval_id, APPROVED)


@in_virtual_time
async def test_another_waiter_that_stops_takes_nothing_back() -> None:
    async with scene() as s:
        request = s.ask()
        question = await s.pending()
        onlooker = asyncio.create_task(s.approvals.outcome(question.approval_id))
        await settle()
        onlooker.cancel()
        await settle()
        assert s.approvals.pending == (question,)
        await s.approvals.decide(question.approval_id, APPROVED)
        assert (await request).is_granted


@in_virtual_time
async def test_the_end_of_the_session_cancels_what_is_pending_and_nothing_more_is_asked() -> None:
    async with scene() as s:
        requests = [s.ask(), s.ask(answers(None))]
        await settle()
        await s.approvals.close()
        assert [(await request).status for request in requests] == [ApprovalStatus.CANCELLED] * 2
        with pytest.raises(SessionClosed):
            await s.ask()


@in_virtual_time
async def test_no_more_than_so_many_are_pending_and_none_without_time_or_a_way_to_grant_it() -> None:
    async with scene() as s:
        requests = [s.ask() for _ in range(core.PENDING_MAX)]
        await settle()
        with pytest.raises(IllegalCommand, match="pending already"):
            await s.ask()
        await s.approvals.close()
        await asyncio.gather(*requests)
    async with scene() as s:
        with pytest.raises(IllegalCommand, match="needs time"):
            await s.ask(expires_after_s=0)
        assert await s.stage.kinds() == []


@in_virtual_time
async def test_a_question_that_cannot_be_written_is_not_asked() -> None:
    async with scene() as s:
        s.stage.faults.full = 1
        with pytest.raises(JournalError):
            await s.ask(raises(AssertionError("asked")))
        assert not s.approvals.pending


@in_virtual_time
async def test_an_answer_that_cannot_be_written_grants_nothing() -> None:
    async with scene() as s:
        request = s.ask()
        question = await s.pending()
        s.stage.faults.full = 1
        with pytest.raises(JournalError):
            await s.approvals.decide(question.approval_id, APPROVED)
        assert not request.done()
        await s.approvals.decide(question.approval_id, APPROVED)
        assert (await request).is_granted


@in_virtual_time
@pytest.mark.parametrize("approver", [None, answers(APPROVED)])
async def test_a_journal_that_fails_at_the_answer_keeps_what_waits_from_happening(
    approver: Approver | None,
) -> None:
    async with scene() as s:
        request = s.ask(approver)
        s.stage.faults.full = 0
        s.stage.faults.appends_left = 1
        with pytest.raises(JournalError):
            await request
        s.stage.faults.appends_left = None  # it heals: the session's end closes what is open


@in_virtual_time
async def test_an_expiry_that_cannot_be_written_ends_the_waiting_all_the_same() -> None:
    async with scene() as s:
        request = s.ask(expires_after_s=5)
        question = await s.pending()
        s.stage.faults.full = 2
        with pytest.raises(JournalError):
            await request
        assert list(s.approvals.state.pending) == [question.approval_id]
        with pytest.raises(DecisionRefused, match="expired already"):
            await s.approvals.decide(question.approval_id, FOR_SESSION)
        assert not s.approvals.state.standing


@in_virtual_time
async def test_a_late_answer_is_not_taken_because_the_expiry_could_not_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scene() as s:
        request = s.ask(expires_after_s=5)
        question = await s.pending()
        late_s = asyncio.get_running_loop().time() + 6
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: late_s)
        s.stage.faults.full = 1
        with pytest.raises(JournalError):
            await s.approvals.decide(question.approval_id, APPROVED)
        monkeypatch.undo()
        assert (await request).status is ApprovalStatus.EXPIRED


@in_virtual_time
async def test_an_approver_s_answer_that_is_late_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as s:
        go_on = asyncio.Event()

        async def slow(question: Question) -> ApprovalDecision:
            await go_on.wait()
            return APPROVED

        request = s.ask(slow, expires_after_s=5)
        await s.pending()
        late_s = asyncio.get_running_loop().time() + 6
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: late_s)
        go_on.set()
        await settle()
        monkeypatch.undo()
        assert (await request).status is ApprovalStatus.EXPIRED
