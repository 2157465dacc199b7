"""What an agent at the end of a channel asks of the executions: outcomes, notes, and calls of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from agentfield_journal import JournalError
from agentfield_rt.channel.failures import failure_of
from agentfield_rt.channel.frame import MessageTooLarge
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import Failure, Fault
from agentfield_rt.channel.to_agent import CallAccepted, OutcomeRecorded, Reply
from agentfield_rt.channel.to_plane import Call, CancelRequest, Follow, Note, Outcome
from agentfield_rt.errors import Reason
from agentfield_rt.plane.channel.engine import Engine
from agentfield_rt.plane.errors import PlaneError
from agentfield_rt.plane.executions import dispatch
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.voice.link import ExecutionRequest

log = logging.getLogger(__name__)

M = TypeVar("M", Call, Follow)

CALLS_MAX = 1_000
"""Of one instance, at once."""

ORPHANED = "agent_restart_orphaned: the agent's process that ran this is gone"
"""AgentField's word for it."""


class Workflow:
    """The executions as one instance may use them.

    Args:
        node_id: Whose outcomes it may tell.
        engine: Runs them.
        post: Reaches the instance.
    """

    def __init__(self, node_id: str, engine: Engine, post: Callable[[Message], None]) -> None:
        self._node_id = node_id
        self._engine = engine
        self._post = post
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._has_left = False

    def leave(self) -> None:
        """The instance is gone; what it called goes on, and is in the journal."""
        self._has_left = True
        for task in tuple(self._calls.values()):
            task.cancel()

    # What it was given.

    async def report(self, message: Outcome) -> None:
        """An execution has ended; told to be forgotten once that is durable, or can never be taken."""
        outcome = dispatch.Outcome(
            status=ExecutionStatus(message.status.value),
            result=message.result,
            error=message.error,
            reason=message.reason,
        )
        try:
            await self._engine.report(message.execution_id, outcome, node_id=self._node_id)
        except PlaneError as error:  # it ended otherwise, is another node's, or nobody knows it any more
            log.info("the outcome of %s is not taken: %s", message.execution_id, type(error).__name__)
        except JournalError as error:  # the agent keeps it, and tells the next plane
            log.error("the outcome of %s is not recorded: %s", message.execution_id, type(error).__name__)
            return
        self._post(OutcomeRecorded(execution_id=message.execution_id))

    def goes_on(self, execution_id: str) -> None:
        """The instance had it before it came to this plane."""
        self._engine.began(execution_id, node_id=self._node_id)

    async def is_over(self, execution_id: str) -> bool:
        """Whether it has ended for everybody but the instance, which works on it still."""
        try:
            return (await self._engine.find(execution_id)).is_final
        except (PlaneError, JournalError):  # whoever knows no end of it does not end it
            return False

    async def lost(self, execution_id: str) -> None:
        """The instance had begun it and is gone."""
        await report_lost(self._engine, self._node_id, execution_id)

    async def note(self, message: Note) -> None:
        """A remark on an execution."""
        try:
            await self._engine.note(message)
        except (PlaneError, JournalError) as error:
            log.info("a note is not taken: %s", type(error).__name__)

    # What it asks for.

    def call(self, message: Call) -> None:
        """Begin a call outside of any session."""
        self._begin(message.request_id, self._call, message)

    def follow(self, message: Follow) -> None:
        """Reply when an execution has ended that was accepted before."""
        self._begin(message.request_id, self._follow, message)

    def cancel(self, message: CancelRequest) -> None:
        """Nobody waits for a reply any more."""
        if (task := self._calls.get(message.request_id)) is not None:
            task.cancel()

    def _begin(self, request_id: str, work: Callable[[M], Awaitable[Any]], message: M) -> None:
        if request_id in self._calls:
            return  # asked twice, answered once
        if len(self._calls) >= CALLS_MAX:
            self._refuse(request_id, f"{CALLS_MAX} calls wait for their ends", Reason.OVERFLOW)
            return
        task = asyncio.create_task(self._reply(request_id, work, message), name=f"call {request_id}")
        self._calls[request_id] = task
        task.add_done_callback(lambda _: self._ended(request_id, task))

    def _ended(self, request_id: str, task: asyncio.Task[None]) -> None:
        del self._calls[request_id]
        if task.cancelled() and not self._has_left:
            self._refuse(request_id, "nobody waited for it any more", Reason.CANCELLED)

    def _refuse(self, request_id: str, message: str, reason: Reason) -> None:
        failure = Failure(fault=Fault.EXECUTION, message=message, reason=reason)
        self._post(Reply(request_id=request_id, failure=failure))

    async def _call(self, message: Call) -> Any:
        place = message.place
        request = ExecutionRequest(
            target=message.target,
            arguments=message.arguments,
            run_id=place.run_id,
            session_id=place.session_id,
            turn_id=place.turn_id,
            parent_execution_id=place.parent_execution_id,
        )
        execution = await self._engine.submit(request, key=message.request_id, actor_id=place.actor_id)
        accepted = CallAccepted(request_id=message.request_id, execution_id=execution.execution_id)
        self._post(accepted)
        return await self._end_of(execution)

    async def _follow(self, message: Follow) -> Any:
        return await self._end_of(await self._engine.find(message.execution_id))

    async def _end_of(self, execution: Execution) -> Any:
        try:
            return await self._engine.result(execution)
        except asyncio.CancelledError:
            if not self._has_left:
                await self._engine.cancel(execution.execution_id)
            raise

    async def _reply(self, request_id: str, work: Callable[[M], Awaitable[Any]], message: M) -> None:
        try:
            self._post(Reply(request_id=request_id, result=await work(message)))
        except PlaneError as error:
            self._refuse(request_id, str(error), Reason.INVALID_REQUEST)
        except MessageTooLarge as error:
            self._refuse(request_id, str(error), Reason.OVERFLOW)
        except Exception as error:  # whatever it is, whoever asked is told; a text nobody foresaw is not
            self._post(Reply(request_id=request_id, failure=failure_of(error)))


async def report_lost(engine: Engine, node_id: str, execution_id: str) -> None:
    """Whoever had begun it is gone. It may have had effects, so it is not run again."""
    outcome = dispatch.Outcome(status=ExecutionStatus.FAILED, reason=Reason.PROCESS_LOST, error=ORPHANED)
    try:
        await engine.report(execution_id, outcome, node_id=node_id)
    except (PlaneError, JournalError) as error:
        log.info("%s was orphaned and has ended otherwise: %s", execution_id, type(error).__name__)
