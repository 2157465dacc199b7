"""The rules bite: bugs planted on purpose, each one plausible slip of the hand, turn them red."""

# pyright: reportPrivateUsage=false

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from agentfield_journal import JournalError
from agentfield_rt import approvals as driver
from agentfield_rt.approvals import Approvals, ApprovalSubject, Decider
from agentfield_rt.core import approvals as core
from agentfield_rt.core import records
from agentfield_rt.errors import ReplayMismatch
from agentfield_rt.testing import RuleBroken
from agentfield_rt.voice.tools import ToolGate
from tests.approvals.world import STEPS, play
from tests.planting import Bug, Bugs, nothing, property_search

PLANTED = Bugs(seen_by=property_search(play, STEPS, st.integers(0, 2**32)))
planted = PLANTED.planted


@planted("a tool runs before its approval is durable")
def grant_not_durable(patch: pytest.MonkeyPatch) -> None:
    async def outcome(self: Any, approval_id: str) -> Any:
        wait = self._waits.get(approval_id)
        if wait is not None:
            await wait.over.wait()
        return core.find(self._state, approval_id)

    patch.setattr(Approvals, "outcome", outcome)


@planted("the question is asked before it is durable")
def asked_too_early(patch: pytest.MonkeyPatch) -> None:
    original = Approvals._put

    async def put(self: Any, approval_id: str) -> None:
        run = self._run
        self._run = _NeverDurable()
        try:
            await original(self, approval_id)
        finally:
            self._run = run

    patch.setattr(Approvals, "_put", put)


class _NeverDurable:
    async def durable(self) -> None:
        return


@planted("a tool needs no approval")
def gate_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ToolGate, "needs_approval", nothing)


@planted("whatever was answered counts as a grant")
def denial_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core.Approval, "is_granted", property(lambda _: True))


@planted("a grant for once holds for ever")
def once_is_for_ever(patch: pytest.MonkeyPatch) -> None:
    original = core._closed

    def closed(state: Any, closer: Any) -> Any:
        after = original(state, closer)
        approval = after.closed[closer.op_id]
        if not approval.is_granted:
            return after
        key = (approval.request.subject, approval.request.target)
        return replace(after, standing={**after.standing, key: approval})

    patch.setattr(core, "_closed", closed)


@planted("a grant for one target holds for all", seed=10)
def target_ignored(patch: pytest.MonkeyPatch) -> None:
    original = core._closed

    def closed(state: Any, closer: Any) -> Any:
        after = original(state, closer)
        for approval in list(after.standing.values()):
            keys = ((ApprovalSubject.TOOL, target) for target in ("desk.refund", "desk.delete"))
            after = replace(after, standing=dict.fromkeys(keys, approval))
        return after

    patch.setattr(core, "_closed", closed)


@planted("an approval is decided twice")
def decided_twice(patch: pytest.MonkeyPatch) -> None:
    original = core.answer

    def answer(state: Any, op_id: str, decision: Any, *, decided_by: Decider) -> Any:
        approval = core.find(state, op_id)
        fresh = core.ApprovalsState(pending={op_id: approval.request})
        return original(fresh, op_id, decision, decided_by=decided_by)

    patch.setattr(core, "answer", answer)


@planted("an answer that is not allowed is taken")
def not_allowed_taken(patch: pytest.MonkeyPatch) -> None:
    original = core.answer

    def answer(state: Any, op_id: str, decision: Any, *, decided_by: Decider) -> Any:
        if op_id in state.pending:
            request = replace(state.pending[op_id], allowed=tuple(records.ApprovalDecision))
            state = replace(state, pending={**state.pending, op_id: request})
        return original(state, op_id, decision, decided_by=decided_by)

    patch.setattr(core, "answer", answer)


@planted("an approver that raises has granted")
def raising_grants(patch: pytest.MonkeyPatch) -> None:
    def fail(state: Any, op_id: str, reason: Any) -> Any:
        return core.answer(state, op_id, records.ApprovalDecision.APPROVED, decided_by=Decider.APPROVER)

    patch.setattr(core, "fail", fail)


@planted("the expiry is lost", seed=1)
def expiry_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Approvals, "_expire", nothing)


@planted("an expired question is answered all the same", seed=1)
def expiry_not_recorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core, "expire", nothing)


@planted("a question nobody waits for stays open")
def cancel_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core, "cancel", nothing)


@planted("a timeout is consent", seed=1)
def timeout_is_consent(patch: pytest.MonkeyPatch) -> None:
    def expire(state: Any, op_id: str) -> Any:
        return core.answer(state, op_id, records.ApprovalDecision.APPROVED, decided_by=Decider.APPROVER)

    patch.setattr(core, "expire", expire)


@planted("what a dead process left open is forgotten", seed=1)
def recovery_forgets(patch: pytest.MonkeyPatch) -> None:
    async def recover(self: Any, ask_again: Any = None) -> tuple[str, ...]:
        await asyncio.sleep(0)
        return ()

    patch.setattr(Approvals, "recover", recover)
    patch.setattr(Approvals, "close", _close_own)


async def _close_own(self: Any) -> None:
    for approval_id in list(self._waits):
        with contextlib.suppress(JournalError):
            self._close(core.cancel(self._state, approval_id))


@planted("the state runs ahead of a refused append")
def state_ahead(patch: pytest.MonkeyPatch) -> None:
    def commit(self: Any, *written: Any) -> None:
        for record in written:
            self._state = core.evolve(self._state, record)
        self._run.append(written, self._context)

    patch.setattr(Approvals, "_commit", commit)


@planted("what is approved stands in the record")
def content_recorded(patch: pytest.MonkeyPatch) -> None:
    original = driver._request

    def request(subject: Any, rule: Any, op_id: str, ref: str) -> Any:
        made = original(subject, rule, op_id, ref)
        return replace(made, subject_ref="the caller's bank account")

    patch.setattr(driver, "_request", request)


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_turns_the_rules_red(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, RuleBroken, ReplayMismatch)
