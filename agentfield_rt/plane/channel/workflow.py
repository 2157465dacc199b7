"""What an agent at the end of a channel asks of the executions: outcomes, notes, and calls of its own."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from agentfield_journal import JournalError
from agentfield_rt.channel.delivery import ChannelFull
from agentfield_rt.channel.failures import failure_of
from agentfield_rt.channel.frame import MessageTooLarge
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import Failure, Fault
from agentfield_rt.channel.to_agent import CallAccepted, OutcomeRecorded, Reply
from agentfield_rt.channel.to_plane import Call, CancelRequest, Follow, Note, Outcome
from agentfield_rt.errors import ExecutionFailed, Reason
from agentfield_rt.plane.channel.engine import Engine
from agentfield_rt.plane.errors import PlaneError
from agentfield_rt.plane.executions import dispatch
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.voice.link import ExecutionRequest

log = logging.getLogger(__name__)

CALLS_MAX = 1_000
"""Of one instance, at once."""

ORPHANED = "agent_restart_orphaned: the agent's process that ran this is gone"
"""AgentField's word for it."""


class Workflow:
    """The executions as one instance may use them.

    Args:
        engine: Runs them.
        post: Reaches the instance.
    """

    def __init__(self, engine: Engine, post: Callable[[Message], None]) -> None:
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
            await self._engine.report(message.execution_id, outcome)
        except PlaneError as error:  # it ended otherwise before, or nobody knows it any more
            log.info("the outcome of %s is not taken: %s", message.execution_id, type(error).__name__)
        except JournalError as error:  # the agent keeps it, and tells the next plane
            log.error("the outcome of %s is not recorded: %s", message.execution_id, type(error).__name__)
            return
        self._tell(OutcomeRecorded(execution_id=message.execution_id))

    def goes_on(self, execution_id: str) -> None:
        """The instance had it before it came to this plane."""
        self._engine.began(execution_id)

    async def lost(self, execution_id: str) -> None:
        """The instance had begun it and is gone. It may have had effects, so it is not run again."""
        outcome = dispatch.Outcome(status=ExecutionStatus.FAILED, reason=Reason.PROCESS_LOST, error=ORPHANED)
        try:
            await self._engine.report(execution_id, outcome)
        except (PlaneError, JournalError) as error:
            log.info("%s was orphaned and has ended otherwise: %s", execution_id, type(error).__name__)

    async def note(self, message: Note) -> None:
        """A remark on an execution."""
        try:
            await self._engine.note(message)
        except (PlaneError, JournalError) as error:
            log.info("a note is not taken: %s", type(error).__name__)

    # What it asks for.

    def take(self, message: Call | CancelRequest) -> None:
        """Begin a call outside any session, or stop waiting for one."""
        if isinstance(message, Call):
            self._begin(message.request_id, self._call(message))
        elif (task := self._calls.get(message.request_id)) is not None:
            task.cancel()

    def follow(self, message: Follow) -> None:
        """Reply when an execution has ended that was accepted before."""
        self._begin(message.request_id, self._follow(message))

    def _begin(self, request_id: str, work: Any) -> None:
        if len(self._calls) >= CALLS_MAX:
            work.close()
            failure = Failure(
                fault=Fault.EXECUTION,
                message=f"{CALLS_MAX} calls wait for their ends",
                reason=Reason.OVERFLOW,
            )
            self._tell(Reply(request_id=request_id, failure=failure))
            return
        task = asyncio.create_task(work, name=f"call {request_id}")
        self._calls[request_id] = task
        task.add_done_callback(lambda _: self._calls.pop(request_id, None))

    async def _call(self, message: Call) -> None:
        place = message.place
        request = ExecutionRequest(
            target=message.target,
            arguments=message.arguments,
            run_id=place.run_id,
            session_id=place.session_id,
            turn_id=place.turn_id,
            parent_execution_id=place.parent_execution_id,
        )
        await self._reply(message.request_id, self._run(message.request_id, request, place.actor_id))

    async def _run(self, request_id: str, request: ExecutionRequest, actor_id: str | None) -> Any:
        execution = await self._engine.submit(request, key=request_id, actor_id=actor_id)
        self._tell(CallAccepted(request_id=request_id, execution_id=execution.execution_id))
        return await self._end_of(execution)

    async def _follow(self, message: Follow) -> None:
        async def follow() -> Any:
            return await self._end_of(await self._engine.find(message.execution_id))

        await self._reply(message.request_id, follow())

    async def _end_of(self, execution: Execution) -> Any:
        try:
            return await self._engine.result(execution)
        except asyncio.CancelledError:
            if not self._has_left:
                await self._engine.cancel(execution.execution_id)
            raise

    async def _reply(self, request_id: str, work: Any) -> None:
        try:
            reply = Reply(request_id=request_id, result=await work)
        except PlaneError as error:
            refused = ExecutionFailed(str(error), execution_id=None, reason=Reason.INVALID_REQUEST)
            reply = Reply(request_id=request_id, failure=failure_of(refused))
        except Exception as error:
            reply = Reply(request_id=request_id, failure=failure_of(error))
        self._tell(reply)

    def _tell(self, message: Message) -> None:
        try:
            self._post(message)
        except ChannelFull:
            log.warning("an agent receives nothing; its lease decides")
        except MessageTooLarge as error:
            assert isinstance(message, Reply)
            failure = Failure(fault=Fault.EXECUTION, message=str(error), reason=Reason.OVERFLOW)
            self._post(Reply(request_id=message.request_id, failure=failure))
