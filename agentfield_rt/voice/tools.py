"""Tools that the provider's model calls by itself: on the session's list or refused, each answered once.

One that needs an approval runs when somebody has approved just this call, or its target for the session.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from agentfield_journal import JournalError
from agentfield_rt.approvals import Approval, ApprovalRule, Approvals, ApprovalSubject
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import ExecutionFailed, RealtimeError, Reason
from agentfield_rt.frames import ProviderEvent, ToolCalled, ToolResultFrame
from agentfield_rt.history import call_content
from agentfield_rt.idle import Few, Recent
from agentfield_rt.items import output_item_id
from agentfield_rt.voice.tasks import is_cancelled

log = logging.getLogger(__name__)

ARGUMENTS_CHARS_MAX = 64 * 1024
CALLS_AT_ONCE_MAX = 16
STOP_MAX_S = 1.0
"""A tool that does not stop when it is cancelled is left behind."""

SEEN_MAX = 1_024
"""Call ids remembered. A provider repeats one, if at all, soon after."""


class ToolGate:
    """What the model may call, and what of that only with an approval; fixed for the session's life.

    Args:
        allowed: Targets by the name the model knows them under.
        rules: How a target that needs an approval gets it.
    """

    def __init__(
        self, allowed: Mapping[str, str], rules: Mapping[str, ApprovalRule], approvals: Approvals
    ) -> None:
        self._allowed = dict(allowed)
        self._rules = dict(rules)
        self._approvals = approvals

    def target(self, name: str) -> str | None:
        """What the model means by `name`; None where it may not call that."""
        return self._allowed.get(name)

    def needs_approval(self, target: str) -> bool:
        return target in self._rules

    async def approval(self, target: str, arguments: Mapping[str, Any], *, op_id: str) -> Approval:
        """Ask for the approval of one call with exactly these arguments.

        Raises:
            RealtimeError, JournalError: see `Approvals.request`; the call must not run.
        """
        detail = msgspec.json.encode(arguments).decode()
        return await self._approvals.request(
            ApprovalSubject.TOOL, self._rules[target], op_id=op_id, detail=detail
        )


class ToolCalls:
    """The gate's keeper, in front of the executor.

    Args:
        gate: What may be called. It holds here and nowhere else.
        answer: Hands a result back to the provider.
        execute: Runs a target with its arguments, for the response that called it.
    """

    def __init__(
        self,
        gate: ToolGate,
        answer: Callable[[ToolResultFrame], Awaitable[object]],
        execute: Callable[[str, Mapping[str, Any], str], Awaitable[Any]],
        record: Callable[[Record], None],
        keep: Callable[[str], str],
    ) -> None:
        self._gate = gate
        self._answer = answer
        self._execute = execute
        self._record = record
        self._keep = keep
        self._seen = Recent(SEEN_MAX)
        self._running: dict[asyncio.Task[None], str] = {}
        self._open = Few[str]()

    def handle(self, event: ProviderEvent) -> None:
        """Begin a tool call; the same call id is never run twice."""
        if not isinstance(event, ToolCalled) or event.call_id in self._seen:
            return
        self._seen.add(event.call_id)
        with contextlib.suppress(JournalError):  # then its intent is not taken either, and says so
            call_ref = self._keep(call_content(event.name, event.arguments))
            self._record(
                records.ToolCallReceived(
                    call_id=event.call_id, call_ref=call_ref, response_id=event.response_id
                )
            )
        target, is_busy = self._gate.target(event.name), len(self._running) >= CALLS_AT_ONCE_MAX
        if target is None:
            work = self._deny(event)
        elif self._gate.needs_approval(target):
            work = self._run_approved(event, target, is_busy=is_busy)
        else:
            work = self._run(event, target, is_busy=is_busy)
        task = asyncio.create_task(work, name=f"tool {event.call_id}")
        self._running[task] = event.call_id
        task.add_done_callback(self._ended)

    @property
    def pending(self) -> frozenset[str]:
        """Calls whose output is still to come."""
        return frozenset(self._running.values())

    async def close(self) -> None:
        """Nobody waits for the results any more."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_MAX_S)
        for call_id in list(self._open):
            self._finish(call_id, Reason.CANCELLED)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s broke off: %s", task.get_name(), type(error).__name__)

    def _finish(self, call_id: str, reason: Reason | None) -> None:
        """Record what a call came to, once."""
        if call_id in self._open:
            self._open.discard(call_id)
            self._record(records.ToolResultRecorded(op_id=call_id, reason=reason))

    async def _deny(self, call: ToolCalled) -> None:
        self._record(records.PolicyDenied(subject_ref=self._keep(call.name)))
        await self._answer_with(call, _error(f"tool {call.name!r} is not available in this session"))

    async def _run_approved(self, call: ToolCalled, target: str, *, is_busy: bool) -> None:
        """Ask first. Without a grant there is no intent: the approval's own outcome is what is recorded."""
        try:
            _refuse(is_busy=is_busy)
            approval = await self._gate.approval(target, _arguments(call.arguments), op_id=call.call_id)
        except ExecutionFailed as error:
            await self._answer_with(call, _failed(target, error.reason))
        except (RealtimeError, JournalError) as error:
            log.error("no approval could be asked for %s: %s", target, type(error).__name__)
            await self._answer_with(call, _failed(target, Reason.UNAVAILABLE))
        else:
            if approval.is_granted:
                await self._run(call, target, approval_op_id=approval.id)
            else:
                await self._answer_with(call, _error(f"{target} was not approved: {approval.status}"))

    async def _run(
        self, call: ToolCalled, target: str, *, is_busy: bool = False, approval_op_id: str | None = None
    ) -> None:
        intent = records.ToolIntentRecorded(op_id=call.call_id, target=target, approval_op_id=approval_op_id)
        try:
            self._record(intent)
        except JournalError as error:
            log.error("tool %s was not run: %s", target, type(error).__name__)
            await self._answer_with(call, _failed(target, Reason.UNAVAILABLE))
            return
        self._open.add(call.call_id)
        reason: Reason | None = Reason.CANCELLED
        try:
            _refuse(is_busy=is_busy)
            output = await self._execute(target, _arguments(call.arguments), call.response_id)
            answer, reason = msgspec.json.encode(output).decode(), None
        except ExecutionFailed as error:
            reason = error.reason
            answer = _failed(target, reason)
        # An exit asked for in a library ends its call only, and so does what it awaits and is cancelled.
        except (Exception, BaseExceptionGroup, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            log.error("tool %s raised %s", target, type(error).__name__)
            reason = Reason.INTERNAL
            answer = _failed(target, reason)
        finally:
            self._finish(call.call_id, reason)
        await self._answer_with(call, answer)

    async def _answer_with(self, call: ToolCalled, text: str) -> None:
        try:
            await self._answer(ToolResultFrame(output_item_id(call.call_id), call.call_id, text))
        except RealtimeError as error:
            log.info("the model did not get the result of a tool: %s", type(error).__name__)


def _error(message: str) -> str:
    return msgspec.json.encode({"error": message}).decode()


def _failed(target: str, reason: Reason) -> str:
    return _error(f"{target} failed: {reason}")


def _refuse(*, is_busy: bool) -> None:
    if is_busy:
        message = f"{CALLS_AT_ONCE_MAX} tools of this session run already"
        raise ExecutionFailed(message, execution_id=None, reason=Reason.RATE_LIMITED)


def _arguments(text: str) -> Mapping[str, Any]:
    if len(text) > ARGUMENTS_CHARS_MAX:
        message = f"tool arguments exceed {ARGUMENTS_CHARS_MAX} characters"
        raise ExecutionFailed(message, execution_id=None, reason=Reason.INVALID_REQUEST)
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ExecutionFailed(
            "tool arguments are no JSON object", execution_id=None, reason=Reason.INVALID_REQUEST
        ) from error
