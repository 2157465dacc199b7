"""Executions: accepted when durable, run once, their outcome recorded. Satisfies `Executor`."""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel

from agentfield_journal import ContentStore, Cursor, JournalError
from agentfield_journal.envelope import Retention
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import ExecutionFailed, Reason
from agentfield_rt.plane.errors import BadRequest, Busy, Conflict, NotFound, PlaneError
from agentfield_rt.plane.executions.dispatch import Dispatch
from agentfield_rt.plane.executions.execution import Execution, ExecutionStatus
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.notation import new_execution_id, new_run_id
from agentfield_rt.plane.runs import Runs
from agentfield_rt.run import Context, Run
from agentfield_rt.voice.link import ExecutionRequest

log = logging.getLogger(__name__)

REMEMBERED_MAX = 10_000
"""Executions whose status is kept in memory; the journal has them all."""

RUNNING_MAX = 1_000
"""Executions at once; one that waits for another counts, too."""

STOP_MAX_S = 5.0

DEPTH_MAX = 100
"""Reasoners that wait for one another: one that calls itself for ever would fill the disk."""


_REASONS: dict[type[PlaneError], Reason] = {
    BadRequest: Reason.INVALID_REQUEST,
    Busy: Reason.OVERFLOW,
    Conflict: Reason.NOT_ALLOWED,
    NotFound: Reason.NOT_FOUND,
}


class Executions:
    """Has the nodes do what is submitted."""

    def __init__(self, runs: Runs, nodes: Nodes, content: ContentStore) -> None:
        self._runs = runs
        self._nodes = nodes
        self._content = content
        self._known: OrderedDict[str, Execution] = OrderedDict()
        self._invocations: set[asyncio.Task[Record]] = set()
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
            Busy: as many run as may.
        """
        if len(self._tasks) >= RUNNING_MAX:
            raise Busy(f"{RUNNING_MAX} executions are running, which is the limit; try again later")
        self._nodes.capability(request.target)
        depth = self._depth(request)
        input_ref = self._keep_arguments(request)
        run_id = request.run_id or new_run_id()
        run = await self._runs.hold(run_id)
        execution = Execution(new_execution_id(), run_id, request, depth, time.time())
        queued = records.ExecutionQueued(
            op_id=execution.execution_id,
            target=request.target,
            input_ref=input_ref,
            parent_execution_id=request.parent_execution_id,
        )
        accepted = False
        try:
            cursor = self._record(run, execution, queued)
            accepted = True
            await run.durable(cursor)
        except BaseException:
            if accepted:
                self._withdraw(run, execution)
            self._spawn(self._let_go(run_id), f"let go {run_id}")
            raise
        self._remember(execution)
        invocation = asyncio.create_task(self._invoke(execution), name=execution.execution_id)
        self._invocations.add(invocation)
        self._spawn(self._finish(execution, run, invocation), f"finish {execution.execution_id}")
        return execution

    def _depth(self, request: ExecutionRequest) -> int:
        parent = self._known.get(request.parent_execution_id or "")
        depth = 0 if parent is None else parent.depth + 1
        if depth > DEPTH_MAX:
            raise BadRequest(
                f"{request.target} is called {depth} deep; does a reasoner call itself for ever?"
            )
        return depth

    def _withdraw(self, run: Run, execution: Execution) -> None:
        """Whoever submitted it never learned that it was accepted; it does not run."""
        with contextlib.suppress(JournalError):
            self._record(run, execution, records.ExecutionCancelled(op_id=execution.execution_id))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _let_go(self, run_id: str) -> None:
        try:
            await self._runs.let_go(run_id)
        except JournalError as error:
            log.error("run %s could not be sealed: %s", run_id, type(error).__name__)

    async def execute(self, request: ExecutionRequest) -> Any:
        """See `Executor.execute`."""
        try:
            execution = await self.submit(request)
        except PlaneError as error:
            raise ExecutionFailed(str(error), execution_id=None, reason=_REASONS[type(error)]) from error
        await execution.finished.wait()
        if execution.status is not ExecutionStatus.SUCCEEDED:
            raise ExecutionFailed(
                f"{request.target} did not succeed: {execution.reason}",
                execution_id=execution.execution_id,
                reason=execution.reason or Reason.INTERNAL,
            )
        return execution.result

    async def close(self) -> None:
        """Cancel what still runs and record it. A reasoner that will not stop is left behind."""
        for invocation in self._invocations:
            invocation.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_MAX_S)

    async def _finish(self, execution: Execution, run: Run, invocation: asyncio.Task[Record]) -> None:
        await asyncio.wait([invocation])
        self._invocations.discard(invocation)
        if invocation.cancelled():
            execution.status, execution.reason = ExecutionStatus.CANCELLED, Reason.CANCELLED
            outcome: Record = records.ExecutionCancelled(op_id=execution.execution_id)
        else:
            outcome = invocation.result()
        execution.completed_at = time.time()
        try:
            execution.outcome = run, self._record(run, execution, outcome)
        except JournalError as error:
            log.error("the outcome of %s is not recorded: %s", execution.execution_id, type(error).__name__)
        finally:
            execution.finished.set()
            await self._let_go(execution.run_id)

    async def _invoke(self, execution: Execution) -> Record:
        """Have the node of the target do it."""
        execution.status = ExecutionStatus.RUNNING
        execution.started_at = time.time()
        request = execution.request
        node, capability = self._nodes.capability(request.target)
        outcome = await node.dispatcher.dispatch(
            Dispatch(
                execution_id=execution.execution_id,
                run_id=execution.run_id,
                name=capability.name,
                kind=capability.kind,
                arguments=request.arguments,
                session_id=request.session_id,
                turn_id=request.turn_id,
                parent_execution_id=request.parent_execution_id,
            )
        )
        assert outcome is not None, "nobody reports outcomes yet"
        if outcome.status is ExecutionStatus.CANCELLED:
            raise asyncio.CancelledError
        if outcome.status is not ExecutionStatus.SUCCEEDED:
            return self._failed(execution, outcome.reason or Reason.INTERNAL, outcome.error or "")
        execution.status, execution.result = ExecutionStatus.SUCCEEDED, outcome.result
        return records.ExecutionSucceeded(
            op_id=execution.execution_id, result_ref=self._keep(outcome.result, request)
        )

    def _failed(self, execution: Execution, reason: Reason, error: str) -> Record:
        """What the reasoner said is content: it may hold what the user said."""
        execution.status, execution.reason, execution.error = ExecutionStatus.FAILED, reason, error
        return records.ExecutionFailed(
            op_id=execution.execution_id, reason=reason, error_ref=self._keep(error, execution.request)
        )

    def _record(self, run: Run, execution: Execution, record: Record) -> Cursor:
        request = execution.request
        agent_id = request.target.partition(".")[0]
        return run.append([record], Context(agent_id, request.session_id, request.turn_id))

    def _keep(self, value: Mapping[str, Any] | Any, request: ExecutionRequest) -> str:
        return self._content.put(
            msgspec.json.encode(value, enc_hook=_as_json),
            subject=request.session_id or request.target,
            retention=Retention.SESSION,
        )

    def _keep_arguments(self, request: ExecutionRequest) -> str:
        try:
            return self._keep(request.arguments, request)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadRequest(f"the arguments of {request.target} cannot be written as JSON") from error

    def _remember(self, execution: Execution) -> None:
        self._known[execution.execution_id] = execution
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)


def _as_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")
