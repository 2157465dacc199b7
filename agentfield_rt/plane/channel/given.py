"""The executions that an instance was given: handed over, stopped, ended, or lost with it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

from agentfield_rt.channel.delivery import ChannelFull
from agentfield_rt.channel.end import ChannelEnd
from agentfield_rt.channel.frame import MessageTooLarge
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import Place
from agentfield_rt.channel.to_agent import CancelExecution, Execute
from agentfield_rt.channel.to_plane import Outcome, ToPlane
from agentfield_rt.errors import Reason
from agentfield_rt.plane.channel.workflow import Workflow
from agentfield_rt.plane.executions import dispatch
from agentfield_rt.plane.executions.dispatch import Dispatch, DispatchInDoubt, NodeUnreachable
from agentfield_rt.plane.executions.status import ExecutionStatus

Spawn = Callable[[Coroutine[Any, Any, None], str], None]


@dataclass(slots=True, eq=False)
class _Given:
    """One of them.

    Attributes:
        received: Done when the instance has it; cancelled when it is gone.
        context: Of whoever submitted it, so that log lines of what becomes of it are that request's.
    """

    received: asyncio.Future[None]
    context: Context
    is_cancelled: bool = False


class GivenExecutions:
    """Those of one instance whose outcome it has not told.

    Args:
        end: Takes work to the instance, if there is room.
        post: Tells the instance what it has to know.
        spawn: Runs something beside the channel, until the plane stops.
        changed: Is told when there is room again.
    """

    def __init__(
        self,
        end: ChannelEnd[ToPlane],
        workflow: Workflow,
        *,
        post: Callable[[Message], None],
        spawn: Spawn,
        changed: Callable[[], None],
    ) -> None:
        self._end = end
        self._post = post
        self._workflow = workflow
        self._spawn = spawn
        self._changed = changed
        self._given: dict[str, _Given] = {}

    def __len__(self) -> int:
        return len(self._given)

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._given

    def bring(self, execution_ids: Sequence[str]) -> None:
        """The instance had these before it came; those that nobody wants any more are stopped."""
        for execution_id in execution_ids:
            received: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            received.set_result(None)
            self._given[execution_id] = _Given(received, copy_context())
            self._workflow.goes_on(execution_id)
        if execution_ids:
            self._spawn(self._stop_unwanted(execution_ids), "stop what nobody wants")

    async def _stop_unwanted(self, execution_ids: Sequence[str]) -> None:
        """They were cancelled, or were given up, while the instance could not be told."""
        for execution_id in execution_ids:
            if await self._workflow.is_over(execution_id):
                self.cancel(execution_id)

    def hand_over(self, execution_ids: Sequence[str]) -> None:
        """The same process has brought these with it on another channel: they are not lost with this one."""
        for execution_id in execution_ids:
            if (given := self._given.pop(execution_id, None)) is not None:
                given.received.cancel()

    async def execute(self, work: Dispatch) -> dispatch.Outcome | None:
        """Hand an execution over; returns None when the agent has it, and will report.

        Raises:
            NodeUnreachable: it has not got it.
            DispatchInDoubt: it may have got it, and is gone.
        """
        try:
            seq = self._end.post(_execute(work))
        except ChannelFull as error:
            raise NodeUnreachable(str(error)) from error
        except MessageTooLarge as error:
            return dispatch.Outcome(
                status=ExecutionStatus.FAILED, reason=Reason.INVALID_REQUEST, error=str(error)
            )
        received = asyncio.ensure_future(self._end.receipt(seq))
        self._given[work.execution_id] = _Given(received, copy_context())
        try:
            await asyncio.wait([received])
        except asyncio.CancelledError:
            self._forget(work.execution_id)
            received.cancel()
            raise
        if received.cancelled():
            if self._end.was_sent(seq):
                raise DispatchInDoubt("the agent is gone, and may have begun")
            raise NodeUnreachable("the agent is gone, and has not begun")
        return None

    def cancel(self, execution_id: str) -> None:
        """Ask the instance to stop one, once: a second cancellation would cut its cleaning up short."""
        given = self._given.get(execution_id)
        if given is not None and not given.is_cancelled:
            given.is_cancelled = True
            self._post(CancelExecution(execution_id=execution_id))

    def end(self, message: Outcome) -> None:
        """The instance has told how one ended."""
        context = self.context_of(message.execution_id)
        self._forget(message.execution_id)
        report = self._workflow.report(message)
        context.run(self._spawn, report, f"report {message.execution_id}")

    def context_of(self, execution_id: str | None) -> Context:
        """Whose log lines are those of what this execution does, and of what becomes of it."""
        given = self._given.get(execution_id or "")
        return copy_context() if given is None else given.context

    def lose(self) -> None:
        """The instance is gone: what it had begun has failed, since it may have had effects."""
        for execution_id, given in self._given.items():
            if given.received.done():
                given.context.run(self._spawn, self._workflow.lost(execution_id), f"lost {execution_id}")

    def close(self) -> None:
        """Nothing is heard of them here any more. What the instance has not received it has not begun."""
        for given in self._given.values():
            given.received.cancel()
        self._given.clear()

    def _forget(self, execution_id: str) -> None:
        if self._given.pop(execution_id, None) is not None:
            self._changed()


def _execute(work: Dispatch) -> Execute:
    return Execute(
        execution_id=work.execution_id,
        name=work.name,
        kind=work.kind.value,
        arguments=dict(work.arguments),
        place=Place(
            run_id=work.run_id,
            session_id=work.session_id,
            turn_id=work.turn_id,
            actor_id=work.actor_id,
            parent_execution_id=work.parent_execution_id,
        ),
    )
