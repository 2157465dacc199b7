"""Executions: accepted when durable, run once, their outcome recorded. Satisfies `Executor`."""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from agentfield_journal import ContentStore
from agentfield_journal.envelope import Retention
from agentfield_rt.agent import ExecutionContext, InvalidInput
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import ExecutionFailed, Reason
from agentfield_rt.plane.errors import BadRequest, NotFound, PlaneError
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.runs import Runs
from agentfield_rt.run import Context, Run
from agentfield_rt.voice.link import ExecutionRequest

log = logging.getLogger(__name__)

REMEMBERED_MAX = 10_000
"""Executions whose status is kept in memory; the journal has them all."""


class ExecutionStatus(StrEnum):
    """AgentField's words; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Execution:
    """One run of a reasoner."""

    execution_id: str
    run_id: str
    request: ExecutionRequest
    created_at: float
    status: ExecutionStatus = ExecutionStatus.QUEUED
    result: Any = None
    reason: Reason | None = None
    error: str | None = None
    started_at: float | None = None
    completed_at: float | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class Executions:
    """Runs reasoners of the agents in this process."""

    def __init__(self, runs: Runs, nodes: Nodes, content: ContentStore) -> None:
        self._runs = runs
        self._nodes = nodes
        self._content = content
        self._known: OrderedDict[str, Execution] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, execution_id: str) -> Execution:
        """One that was submitted.

        Raises:
            NotFound: never, or long ago.
        """
        execution = self._known.get(execution_id)
        if execution is None:
            raise NotFound("execution not found")
        return execution

    async def submit(self, request: ExecutionRequest) -> Execution:
        """Accept an execution; it is durable when this returns, and runs then.

        Raises:
            BadRequest, NotFound: the target is none of ours.
        """
        self._nodes.reasoner(request.target)
        run_id = request.run_id or new_run_id()
        run = await self._runs.hold(run_id)
        execution = Execution(f"exec_{stamp()}_{secrets.token_hex(8)}", run_id, request, time.time())
        self._remember(execution)
        queued = records.ExecutionQueued(
            op_id=execution.execution_id,
            target=request.target,
            input_ref=self._keep(request.arguments, request),
            parent_execution_id=request.parent_execution_id,
        )
        try:
            await run.durable(self._record(run, execution, queued))
        except BaseException:
            await self._runs.let_go(run_id)
            raise
        task = asyncio.create_task(self._run(execution, run), name=execution.execution_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return execution

    async def execute(self, request: ExecutionRequest) -> Any:
        """See `Executor.execute`."""
        try:
            execution = await self.submit(request)
        except PlaneError as error:
            reason = Reason.INVALID_REQUEST if isinstance(error, BadRequest) else Reason.NOT_FOUND
            raise ExecutionFailed(str(error), execution_id=None, reason=reason) from error
        await execution.finished.wait()
        if execution.status is not ExecutionStatus.SUCCEEDED:
            raise ExecutionFailed(
                f"{request.target} did not succeed: {execution.reason}",
                execution_id=execution.execution_id,
                reason=execution.reason or Reason.INTERNAL,
            )
        return execution.result

    async def close(self) -> None:
        """Cancel what still runs and record it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, execution: Execution, run: Run) -> None:
        execution.status = ExecutionStatus.RUNNING
        execution.started_at = time.time()
        try:
            outcome = await self._invoke(execution)
        except asyncio.CancelledError:
            execution.status, execution.reason = ExecutionStatus.CANCELLED, Reason.CANCELLED
            outcome = records.ExecutionCancelled(op_id=execution.execution_id)
        execution.completed_at = time.time()
        try:
            self._record(run, execution, outcome)
        finally:
            execution.finished.set()
            await self._runs.let_go(execution.run_id)

    async def _invoke(self, execution: Execution) -> Record:
        """Run the reasoner; whatever it raises is its own failure, not the process's."""
        request = execution.request
        agent, reasoner = self._nodes.reasoner(request.target)
        context = ExecutionContext(
            execution.run_id, execution.execution_id, request.session_id, request.turn_id
        )
        try:
            result = await agent.invoke(reasoner.name, request.arguments, context)
            execution.result = msgspec.to_builtins(result, builtin_types=())
            result_ref = self._keep(execution.result, request)
        except InvalidInput as error:
            return self._failed(execution, Reason.INVALID_REQUEST, str(error))
        except Exception as error:
            log.warning("%s raised %s", request.target, type(error).__name__)
            return self._failed(execution, Reason.HANDLER_ERROR, f"{type(error).__name__}: {error}")
        execution.status = ExecutionStatus.SUCCEEDED
        return records.ExecutionSucceeded(op_id=execution.execution_id, result_ref=result_ref)

    def _failed(self, execution: Execution, reason: Reason, error: str) -> Record:
        """What the reasoner said is content: it may hold what the user said."""
        execution.status, execution.reason, execution.error = ExecutionStatus.FAILED, reason, error
        return records.ExecutionFailed(
            op_id=execution.execution_id, reason=reason, error_ref=self._keep(error, execution.request)
        )

    def _record(self, run: Run, execution: Execution, record: Record) -> Any:
        request = execution.request
        agent_id = request.target.partition(".")[0]
        return run.append([record], Context(agent_id, request.session_id, request.turn_id))

    def _keep(self, value: Mapping[str, Any] | Any, request: ExecutionRequest) -> str:
        return self._content.put(
            msgspec.json.encode(value),
            subject=request.session_id or request.target,
            retention=Retention.SESSION,
        )

    def _remember(self, execution: Execution) -> None:
        self._known[execution.execution_id] = execution
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)


def stamp() -> str:
    """The date and time part of an id, as AgentField writes it."""
    return time.strftime("%Y%m%d_%H%M%S", time.gmtime())


def new_run_id() -> str:
    return f"run_{stamp()}_{secrets.token_hex(8)}"
