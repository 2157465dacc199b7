"""One session's approvals over a run of their own, for single stories."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agentfield_rt.approvals import (
    Approval,
    ApprovalDecision,
    ApprovalRule,
    Approvals,
    ApprovalSubject,
    Approver,
    Question,
)
from agentfield_rt.core import approvals as core
from agentfield_rt.core import records
from tests.approvals.stage import SESSION_ID, Stage, settle

TARGET = "desk.refund"
APPROVED, DENIED = ApprovalDecision.APPROVED, ApprovalDecision.DENIED
FOR_SESSION = ApprovalDecision.APPROVED_FOR_SESSION
SECRET = "four hundred euros to Mrs Smith"


@dataclass
class Scene:
    """A session's approvals, and what was asked."""

    stage: Stage
    approvals: Approvals
    asked: int = 0

    def ask(self, approver: Approver | None = None, **rule: Any) -> "asyncio.Task[Approval]":
        self.asked += 1
        request = self.approvals.request(
            ApprovalSubject.TOOL,
            ApprovalRule(TARGET, approver=approver, **rule),
            op_id=f"call_{self.asked}",
            detail=SECRET,
        )
        return asyncio.create_task(request)

    async def pending(self) -> Question:
        """The one question that waits."""
        await settle()
        (question,) = self.approvals.pending
        return question

    async def closers(self) -> list[Any]:
        return [r for r in await self.stage.history() if not isinstance(r, records.ApprovalRequested)]


@asynccontextmanager
async def scene() -> AsyncGenerator[Scene]:
    """Approvals over a fresh run; at the end the journal tells the same story as the live state."""
    stage = Stage()
    run = await stage.open_run()
    approvals = Approvals(run, stage.content, session_id=SESSION_ID)
    try:
        yield Scene(stage, approvals)
        await approvals.close()
        await run.durable()
        assert core.replay(await stage.history()) == approvals.state
        assert not approvals.state.pending
        assert SECRET.encode() not in await stage.payloads()
    finally:
        await stage.close()


def raises(error: BaseException) -> Approver:
    async def approver(question: Question) -> ApprovalDecision:
        raise error

    return approver


def answers(answer: Any) -> Approver:
    async def approver(question: Question) -> Any:
        return answer

    return approver
