"""Runs the executions that the plane sends, once each, and keeps their outcomes until they are recorded."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentfield_rt.agent.context import ExecutionContext
from agentfield_rt.agent.invocation import invoke
from agentfield_rt.channel.frame import MessageTooLarge
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import OutcomeStatus
from agentfield_rt.channel.to_agent import Execute
from agentfield_rt.channel.to_plane import Outcome
from agentfield_rt.errors import Reason

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

log = logging.getLogger(__name__)

UNRECORDED_MAX = 10_000
"""Outcomes that no plane has recorded. Of more, the oldest is forgotten; its execution runs out of time."""

TOLD_AGAIN_MAX = 8
"""Outcomes that another plane is told at once; the largest fill half of what a channel keeps."""


class Executing:
    """The executions of this process.

    Args:
        post: Sends a message to the plane, which relies on it.
    """

    def __init__(self, agent: "Agent", post: Callable[[Message], None]) -> None:
        self._agent = agent
        self._post = post
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()
        self._unrecorded: dict[str, Outcome] = {}
        self._told_again: set[str] = set()
        self._untold: deque[str] = deque()

    @property
    def ids(self) -> tuple[str, ...]:
        """Those that run, or whose outcome is not recorded."""
        return (*self._running, *self._unrecorded)

    def take(self, message: Execute) -> None:
        """Run it; what was sent twice runs once, also when another plane sends it."""
        execution_id = message.execution_id
        if (outcome := self._unrecorded.get(execution_id)) is not None:
            self._tell(outcome)
        elif execution_id not in self._running:
            task = asyncio.create_task(self._run(message), name=execution_id)
            self._running[execution_id] = task
            task.add_done_callback(lambda _: self._ended(execution_id))

    def cancel(self, execution_id: str) -> None:
        """Stop it; said twice, it is cancelled once, so that it can clean up."""
        task = self._running.get(execution_id)
        if task is not None and execution_id not in self._cancelled:
            self._cancelled.add(execution_id)
            task.cancel()

    def recorded(self, execution_id: str) -> None:
        """Its outcome is durable, or nobody wants it."""
        self._unrecorded.pop(execution_id, None)
        self._told_again.discard(execution_id)
        self._tell_on()

    def tell_again(self) -> None:
        """Another plane is there: it hears of all outcomes that may not be recorded, a few at a time."""
        self._told_again.clear()
        self._untold = deque(self._unrecorded)
        self._tell_on()

    def _tell_on(self) -> None:
        while self._untold and len(self._told_again) < TOLD_AGAIN_MAX:
            execution_id = self._untold.popleft()
            if (outcome := self._unrecorded.get(execution_id)) is not None:
                self._told_again.add(execution_id)
                self._tell(outcome)

    async def finish(self) -> None:
        """Return when all have ended."""
        while self._running:
            await asyncio.wait(tuple(self._running.values()))

    async def close(self) -> None:
        """Stop them all; a function in a thread is left behind."""
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, message: Execute) -> None:
        place = message.place
        context = ExecutionContext(
            place.run_id or "", message.execution_id, place.session_id, place.turn_id, place.actor_id
        )
        ended = await invoke(self._agent, message.name, message.arguments, context=context)
        self._end(
            Outcome(
                execution_id=message.execution_id,
                status=OutcomeStatus.SUCCEEDED if ended.reason is None else OutcomeStatus.FAILED,
                result=ended.result,
                error=ended.error,
                reason=ended.reason,
            )
        )

    def _ended(self, execution_id: str) -> None:
        task = self._running.pop(execution_id)
        if task.cancelled():
            reason = Reason.CANCELLED if execution_id in self._cancelled else Reason.PROCESS_LOST
            status = OutcomeStatus.CANCELLED if execution_id in self._cancelled else OutcomeStatus.FAILED
            self._end(Outcome(execution_id=execution_id, status=status, reason=reason))
        elif (error := task.exception()) is not None:
            log.error("%s could not be run: %s", execution_id, type(error).__name__)
            failed = OutcomeStatus.FAILED
            self._end(Outcome(execution_id=execution_id, status=failed, reason=Reason.INTERNAL))
        self._cancelled.discard(execution_id)

    def _end(self, outcome: Outcome) -> None:
        self._unrecorded[outcome.execution_id] = outcome
        if len(self._unrecorded) > UNRECORDED_MAX:
            del self._unrecorded[next(iter(self._unrecorded))]
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        try:
            self._post(outcome)
        except MessageTooLarge as error:
            self._end(
                Outcome(
                    execution_id=outcome.execution_id,
                    status=OutcomeStatus.FAILED,
                    reason=Reason.OVERFLOW,
                    error=str(error),
                )
            )
