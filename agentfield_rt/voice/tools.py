"""Tools that the provider's model calls by itself: on the session's list or refused, each answered once."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import ExecutionFailed, RealtimeError, Reason
from agentfield_rt.frames import ProviderEvent, ToolCalled, ToolResultFrame

log = logging.getLogger(__name__)

ARGUMENTS_CHARS_MAX = 64 * 1024
CALLS_AT_ONCE_MAX = 16
SEEN_MAX = 1_024
"""Call ids remembered. A provider repeats one, if at all, soon after."""


class ToolCalls:
    """The gate in front of the executor. The allowlist holds here and nowhere else.

    Args:
        allowed: Targets by the name the model knows them under; fixed for the session's life.
        answer: Hands a result back to the provider.
        execute: Runs a target.
    """

    def __init__(
        self,
        allowed: Mapping[str, str],
        answer: Callable[[ToolResultFrame], Awaitable[object]],
        execute: Callable[[str, Mapping[str, Any]], Awaitable[Any]],
        record: Callable[[Record], None],
        keep: Callable[[str], str],
    ) -> None:
        self._allowed = dict(allowed)
        self._answer = answer
        self._execute = execute
        self._record = record
        self._keep = keep
        self._seen: deque[str] = deque(maxlen=SEEN_MAX)
        self._running: set[asyncio.Task[None]] = set()

    def handle(self, event: ProviderEvent) -> None:
        """Begin a tool call; the same call id is never run twice."""
        if not isinstance(event, ToolCalled) or event.call_id in self._seen:
            return
        self._seen.append(event.call_id)
        target, is_busy = self._allowed.get(event.name), len(self._running) >= CALLS_AT_ONCE_MAX
        work = self._deny(event) if target is None else self._run(event, target, is_busy=is_busy)
        task = asyncio.create_task(work, name=f"tool {event.call_id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Nobody waits for the results any more."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deny(self, call: ToolCalled) -> None:
        self._record(records.PolicyDenied(subject_ref=self._keep(call.name)))
        await self._answer_with(call, {"error": f"tool {call.name!r} is not available in this session"})

    async def _run(self, call: ToolCalled, target: str, *, is_busy: bool) -> None:
        self._record(records.ToolIntentRecorded(op_id=call.call_id, target=target))
        reason: Reason | None = Reason.CANCELLED
        try:
            if is_busy:
                message = f"{CALLS_AT_ONCE_MAX} tools of this session run already"
                raise ExecutionFailed(message, execution_id=None, reason=Reason.RATE_LIMITED)
            output = await self._execute(target, _arguments(call.arguments))
            reason = None
        except ExecutionFailed as error:
            reason = error.reason
            output = {"error": f"{target} failed: {error.reason}"}
        except Exception as error:
            log.error("tool %s raised %s", target, type(error).__name__)
            reason = Reason.INTERNAL
            output = {"error": f"{target} failed: {reason}"}
        finally:
            self._record(records.ToolResultRecorded(op_id=call.call_id, reason=reason))
        await self._answer_with(call, output)

    async def _answer_with(self, call: ToolCalled, output: Any) -> None:
        text = msgspec.json.encode(output).decode()
        try:
            await self._answer(ToolResultFrame(f"tool_{call.call_id}", call.call_id, text))
        except RealtimeError as error:
            log.info("the model did not get the result of a tool: %s", type(error).__name__)


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
