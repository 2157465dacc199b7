"""Asks for approvals: the question durable before anybody hears it, one answer, durable before it counts.

One `Approvals` per session. Whoever asks waits in `request`; code of the embedding service answers
(`Approver`), or somebody through `decide`, and the first answer holds. Knows no tool, no rule and no HTTP.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from agentfield_journal import ContentGone, ContentStore, JournalError
from agentfield_journal.envelope import Retention
from agentfield_rt.approval_rules import ApprovalRule, Approver, Question
from agentfield_rt.core import approvals as core
from agentfield_rt.core import records
from agentfield_rt.core.approvals import (
    Approval,
    ApprovalsState,
    ApprovalStatus,
    Closer,
    DecisionRefused,
    UnknownApproval,
)
from agentfield_rt.core.outcomes import lost
from agentfield_rt.core.records import ApprovalDecision, ApprovalSubject, Decider, Record
from agentfield_rt.errors import Reason, SessionClosed
from agentfield_rt.idle import Few
from agentfield_rt.run import Context, Run

__all__ = [
    "Approval",
    "ApprovalDecision",
    "ApprovalRule",
    "ApprovalStatus",
    "ApprovalSubject",
    "Approvals",
    "Approver",
    "Decider",
    "DecisionRefused",
    "Question",
    "UnknownApproval",
]

log = logging.getLogger(__name__)

STOP_MAX_S = 1.0
"""An approver that does not stop when it is cancelled is left behind."""


@dataclass(slots=True, eq=False)
class _Wait:
    """A pending approval of this process."""

    question: Question
    approver: Approver | None
    due_at_s: float
    timer: asyncio.TimerHandle
    consulting: asyncio.Task[object] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None


class Approvals:
    """The approvals of one session.

    Args:
        run: Where questions and answers are written.
        content: Keeps what was asked.
        history: The session's records so far, when it goes on after a crash; see `recover`.
    """

    def __init__(
        self,
        run: Run,
        content: ContentStore,
        *,
        session_id: str,
        history: Iterable[Record] = (),
    ) -> None:
        self._run = run
        self._content = content
        self._context = Context(session_id=session_id)
        self._session_id = session_id
        self._state = core.replay(history)
        self._waits: dict[str, _Wait] = {}
        self._approvers = Few[asyncio.Task[object]]()
        self._is_closed = False

    @property
    def state(self) -> ApprovalsState:
        """All of them, as the journal tells."""
        return self._state

    @property
    def pending(self) -> tuple[Question, ...]:
        """What waits for an answer, oldest first."""
        return tuple(wait.question for wait in self._waits.values())

    def remaining_s(self, approval_id: str) -> float:
        """How long an answer is still taken; 0 when there is one."""
        wait = self._waits.get(approval_id)
        return 0.0 if wait is None else max(wait.due_at_s - asyncio.get_running_loop().time(), 0.0)

    async def request(
        self, subject: ApprovalSubject, rule: ApprovalRule, *, op_id: str, detail: str
    ) -> Approval:
        """Ask, and wait for the answer, which is durable when this returns. No answer in time is one, too.

        A grant for the session is not asked for again. Cancelling this call cancels the approval.

        Args:
            op_id: The operation that waits for it.
            detail: See `Question.detail`.

        Raises:
            SessionClosed: The session is over.
            IllegalCommand: Too many are pending.
            JournalError: Question or answer could not be made durable; whatever waited must not happen.
        """
        standing = self._state.standing.get((subject, rule.target))
        if standing is not None:
            await self._run.durable()
            return standing
        request = _request(subject, rule, op_id, self._keep(detail))
        self._open(request, detail, rule.approver)
        try:
            await self._put(request.op_id)
            return await self.outcome(request.op_id)
        finally:  # cancelled, or the journal failed: nobody waits for it any more
            with contextlib.suppress(JournalError):
                self._close(core.cancel(self._state, request.op_id))

    async def outcome(self, approval_id: str) -> Approval:
        """Wait for the answer; it is durable when this returns. Cancelling this call changes nothing.

        Raises:
            UnknownApproval: Nothing of this id was asked.
            JournalError: The answer could not be written or not be made durable.
        """
        wait = self._waits.get(approval_id)
        if wait is not None:
            await wait.over.wait()
            if wait.error is not None:
                raise wait.error
        approval = core.find(self._state, approval_id)
        await self._run.durable()
        return approval

    async def decide(
        self,
        approval_id: str,
        decision: ApprovalDecision,
        *,
        decided_by: Decider = Decider.PERSON,
        decider: str | None = None,
    ) -> Approval:
        """Answer. The same answer again changes nothing; the answer is durable when this returns.

        Args:
            decider: Who answered, as the host knows them; it is kept as content.

        Raises:
            DecisionRefused: It is not among the allowed answers, came too late, or another one was first.
            UnknownApproval: Nothing of this id was asked.
            JournalError: The answer could not be made durable.
        """
        self._expire_overdue(approval_id)
        closer = core.answer(self._state, approval_id, decision, decided_by=decided_by)
        if closer is not None and decider is not None:
            closer = replace(closer, decider_ref=self._keep(decider))
        self._close(closer)
        await self._run.durable()
        return core.find(self._state, approval_id)

    async def recover(self, ask_again: Mapping[str, ApprovalRule] | None = None) -> tuple[str, ...]:
        """Close what a process that died left pending: its clock died with it, so nobody knows what is left.

        What `open_session` has closed already is treated alike: it is the same record, written by either.

        Args:
            ask_again: Rules by target. What was about one of them is asked anew, under an id of its own and
                with all of its time; everything else expires.

        Returns:
            The ids of the new questions; `outcome` waits for their answers.
        """
        asked: list[str] = []
        waited_for = frozenset(self._waits)
        for left in self._state.left_behind(waited_for):
            rule = (ask_again or {}).get(left.target)
            detail = await self._detail(left) if rule is not None else None
            expired = (lost(type(left), left.op_id),) if left.op_id in self._state.pending else ()
            if rule is None or detail is None:
                self._commit(*expired)
                continue
            request = _request(left.subject, rule, left.subject_op_id, left.subject_ref)
            request = replace(request, repeats_op_id=left.op_id)
            self._open(request, detail, rule.approver, before=expired)
            asked.append(request.op_id)
        await self._run.durable()
        for approval_id in asked:
            await self._put(approval_id)
        return tuple(asked)

    async def close(self) -> None:
        """The session is over: nothing that is pending happens any more."""
        self._is_closed = True
        for approval_id in list(self._state.pending):
            with contextlib.suppress(JournalError):  # the fold lists it, and recovery expires it
                self._close(core.cancel(self._state, approval_id))
        for approval_id in list(self._waits):
            self._settle(approval_id, error=SessionClosed(f"session {self._session_id} is over"))
        approvers = list(self._approvers)
        for approver in approvers:
            approver.cancel()
        if approvers:
            await asyncio.wait(approvers, timeout=STOP_MAX_S)

    # Commits: compute, append, assign; nothing here awaits.

    def _open(
        self,
        request: records.ApprovalRequested,
        detail: str,
        approver: Approver | None,
        *,
        before: tuple[Record, ...] = (),
    ) -> None:
        if self._is_closed:
            raise SessionClosed(f"session {self._session_id} is over; nothing more can be approved in it")
        self._commit(*before, core.ask(self._state, request))
        loop = asyncio.get_running_loop()
        due_at_s = loop.time() + request.expires_after_s
        question = Question(
            approval_id=request.op_id,
            session_id=self._session_id,
            subject=request.subject,
            target=request.target,
            detail=detail,
            expires_after_s=request.expires_after_s,
            allowed=request.allowed,
        )
        timer = loop.call_at(due_at_s, self._expire, request.op_id)
        self._waits[request.op_id] = _Wait(question, approver, due_at_s, timer)

    def _close(self, closer: Closer | None) -> None:
        if closer is not None:
            self._commit(closer)
            self._settle(closer.op_id)

    def _commit(self, *written: Record) -> None:
        if not written:
            return
        state = self._state
        for record in written:
            state = core.evolve(state, record)
        self._run.append(written, self._context)
        self._state = state

    def _settle(self, approval_id: str, *, error: Exception | None = None) -> None:
        """Wake whoever waits; the approver has nothing left to answer."""
        wait = self._waits.pop(approval_id, None)
        if wait is None:
            return
        wait.timer.cancel()
        wait.error = error
        wait.over.set()
        if wait.consulting is not None:
            wait.consulting.cancel()

    def _expire(self, approval_id: str) -> None:
        try:
            self._close(core.expire(self._state, approval_id))
        except JournalError as error:
            self._settle(approval_id, error=error)

    def _expire_overdue(self, approval_id: str) -> None:
        """A timer that is due may be late, and a dead process had none: an answer is late all the same."""
        wait = self._waits.get(approval_id)
        if wait is None or asyncio.get_running_loop().time() >= wait.due_at_s:
            self._close(core.expire(self._state, approval_id))

    # The approver.

    async def _put(self, approval_id: str) -> None:
        """Ask the approver, as soon as no crash can undo the question."""
        await self._run.durable()
        wait = self._waits.get(approval_id)
        if wait is None or wait.approver is None:
            return
        wait.consulting = asyncio.create_task(_consult(wait.approver, wait.question), name=approval_id)
        self._approvers.add(wait.consulting)
        wait.consulting.add_done_callback(self._approver_done)

    def _approver_done(self, task: asyncio.Task[object]) -> None:
        self._approvers.discard(task)
        approval_id = task.get_name()
        answer = Reason.CANCELLED if task.cancelled() else task.result()
        try:
            if approval_id in self._waits:
                self._expire_overdue(approval_id)
            if approval_id in self._waits:  # nothing else was first
                self._close(self._verdict(approval_id, answer))
        except JournalError as error:
            self._settle(approval_id, error=error)

    def _verdict(self, approval_id: str, answer: object) -> Closer | None:
        """What an approver's answer comes to; whatever is no valid answer is a no."""
        match answer:
            case None:
                return None
            case ApprovalDecision():
                try:
                    return core.answer(self._state, approval_id, answer, decided_by=Decider.APPROVER)
                except DecisionRefused:
                    return core.fail(self._state, approval_id, Reason.INVALID_REQUEST)
            case Reason():
                return core.fail(self._state, approval_id, answer)
            case BaseException():
                log.error("the approver of session %s raised %s", self._session_id, type(answer).__name__)
                return core.fail(self._state, approval_id, Reason.HANDLER_ERROR)
            case _:
                return core.fail(self._state, approval_id, Reason.INVALID_REQUEST)

    # Content.

    def _keep(self, text: str) -> str:
        return self._content.put(text.encode(), subject=self._session_id, retention=Retention.SESSION)

    async def _detail(self, request: records.ApprovalRequested) -> str | None:
        try:
            return (await self._content.get(request.subject_ref)).decode()
        except ContentGone:
            return None


def _request(
    subject: ApprovalSubject, rule: ApprovalRule, subject_op_id: str, subject_ref: str
) -> records.ApprovalRequested:
    return records.ApprovalRequested(
        op_id=f"appr_{secrets.token_hex(16)}",
        subject=subject,
        target=rule.target,
        subject_op_id=subject_op_id,
        subject_ref=subject_ref,
        expires_after_s=rule.expires_after_s,
        allowed=rule.allowed,
    )


async def _consult(approver: Approver, question: Question) -> object:
    """The approver's answer, or what it raised: an exit asked for in a library ends no server."""
    try:
        return await approver(question)
    except (Exception, BaseExceptionGroup, SystemExit) as error:
        return error
