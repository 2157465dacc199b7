"""One attempt after the other to get executions to their nodes: the intent before, what came of it after.

What runs in this process begins at once and ends with it, so there is nothing to note but its outcome.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from agentfield_journal import ContentGone, JournalError
from agentfield_rt.core import records
from agentfield_rt.errors import Reason
from agentfield_rt.observe import Within
from agentfield_rt.plane.executions.dispatch import Dispatcher, DispatchInDoubt, NodeUnreachable, Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.lanes import IN_FLIGHT_MAX, RUNNING_MAX, Lane
from agentfield_rt.plane.executions.ledger import Ledger
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes import Nodes

log = logging.getLogger(__name__)

IN_DOUBT_S = 30.0
"""How long a report is waited for, of what may have reached its node, before it is sent again."""

IN_DOUBT_TIMES_MAX = 10
"""How often that may happen to one execution: perhaps its node dies of it each time."""

CANCEL_MAX_S = 5.0
"""How long a node may take to answer that it cancels."""

_GIVEN_UP = (ExecutionStatus.CANCELLED, ExecutionStatus.TIMEOUT)

Finish = Callable[[Execution, Outcome], None]


class Carriers:
    """Carries executions to their nodes, each node in its own lane.

    Args:
        finish: Told of each outcome that is known when a node has been asked.
        within: Goes round each attempt.
    """

    def __init__(
        self, nodes: Nodes, ledger: Ledger, finish: Finish, *, now: Callable[[], float], within: Within
    ) -> None:
        self._nodes = nodes
        self._ledger = ledger
        self._finish = finish
        self._now = now
        self._within = within
        self._lanes: dict[str, Lane] = {}
        self._doubts: dict[str, asyncio.TimerHandle] = {}
        self._cancelling: set[asyncio.Task[None]] = set()
        self._closed = False
        nodes.listen(self._wake)

    def send(self, execution: Execution) -> None:
        """Take it to its node as soon as that can be."""
        if not self._closed:
            self._lane(execution).put(execution)

    def resume(self, execution: Execution) -> None:
        """Go on with one that an earlier process left: nobody repeats what its node may have begun."""
        if execution.accepted:
            return
        if execution.in_doubt:
            self._wait_in_doubt(execution)
        else:
            self.send(execution)

    def stop(self, execution: Execution) -> None:
        """Nobody wants it any more: it is not sent, and its node is asked to stop."""
        self.settle(execution)
        if (lane := self._lanes.get(execution.node_id)) is not None:
            lane.drop(execution)
        node = self._nodes.find(execution.node_id)
        if node is not None and (execution.attempts or not execution.remote):
            task = asyncio.create_task(self._cancel(node.dispatcher, execution.execution_id))
            self._cancelling.add(task)
            task.add_done_callback(self._cancelling.discard)

    @property
    def waiting_total(self) -> int:
        """How many executions have not been sent."""
        return sum(lane.waiting for lane in self._lanes.values())

    async def close(self, *, deadline_s: float) -> None:
        """Send nothing more; wait until the attempts under way are noted, and end what runs here."""
        self._closed = True
        for timer in self._doubts.values():
            timer.cancel()
        tasks: list[asyncio.Task[bool]] = []
        for node_id, lane in self._lanes.items():
            lane.close()
            tasks += lane.tasks
            node = self._nodes.find(node_id)
            if node is None or not node.dispatcher.remote:
                for task in lane.tasks:
                    task.cancel()
        left = set[asyncio.Task[bool]]()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=deadline_s)
        for task in left:
            task.cancel()
        for cancelling in self._cancelling:
            cancelling.cancel()

    def _lane(self, execution: Execution) -> Lane:
        node_id = execution.node_id
        lane = self._lanes.get(node_id)
        if lane is None:
            lane = self._lanes[node_id] = Lane(
                carry=self._carry,
                carried=self._carried,
                is_there=lambda: (node := self._nodes.find(node_id)) is not None and node.takes_work,
                in_flight_max=IN_FLIGHT_MAX if execution.remote else RUNNING_MAX,
            )
        return lane

    def _wake(self, node_id: str) -> None:
        lane = self._lanes.get(node_id)
        if lane is None:
            return
        if lane.is_empty and self._nodes.find(node_id) is None:
            del self._lanes[node_id]
        else:
            lane.wake()

    def _carried(self, execution: Execution, task: asyncio.Task[bool]) -> None:
        """What a task could not say itself: it was cancelled, perhaps before it began, or we have a bug."""
        if task.cancelled():
            if not execution.remote:
                self._finish(execution, Outcome(status=ExecutionStatus.CANCELLED, reason=Reason.CANCELLED))
        elif (error := task.exception()) is not None:
            log.error("%s could not be carried: %s", execution.execution_id, type(error).__name__)
            self._finish(execution, Outcome(status=ExecutionStatus.FAILED, reason=Reason.INTERNAL))

    async def _carry(self, execution: Execution) -> bool:
        node = self._nodes.find(execution.node_id)
        if node is None:
            return False
        try:
            if execution.arguments is None:
                execution.arguments = await self._ledger.arguments(execution)
            if execution.remote:
                await self._announce(execution)
        except ContentGone as gone:
            error = f"its input is gone: {gone}"
            failed = Outcome(status=ExecutionStatus.FAILED, reason=Reason.NOT_FOUND, error=error)
            self._finish(execution, failed)
            return True
        except JournalError as error:
            log.error("%s cannot be sent: %s", execution.execution_id, type(error).__name__)
            return False
        if execution.is_final:  # cancelled meanwhile
            return True
        execution.status = ExecutionStatus.RUNNING
        execution.started_at = execution.started_at or self._now()
        return await self._dispatch(execution, node.dispatcher)

    async def _announce(self, execution: Execution) -> None:
        """Make the intent durable: whoever starts after us knows that the node may have heard of it."""
        run = execution.run
        if run is None:
            return
        execution.attempts += 1
        intent = records.ExecutionDispatchRequested(
            execution_id=execution.execution_id, attempt=execution.attempts
        )
        cursor = run.append([intent], execution.context)
        execution.in_doubt = True
        await run.durable(cursor)

    async def _dispatch(self, execution: Execution, dispatcher: Dispatcher) -> bool:
        try:
            with self._within(execution.execution_id):
                outcome = await dispatcher.dispatch(execution.attempt())
        except NodeUnreachable:
            self._not_dispatched(execution)
            return False
        except (DispatchInDoubt, TimeoutError, OSError) as error:
            log.warning("%s may have reached its node: %s", execution.execution_id, type(error).__name__)
            self._doubt(execution)
            return True
        if execution.is_final:
            if outcome is None and execution.status in _GIVEN_UP:  # it began after it was asked to stop
                await self._cancel(dispatcher, execution.execution_id)
        elif outcome is not None:
            self._finish(execution, outcome)
        else:
            self.begun(execution)
        return True

    def _doubt(self, execution: Execution) -> None:
        """The connection broke over an attempt: it is waited for, as if the node had it, but not for ever."""
        execution.doubts += 1
        if execution.accepted or execution.doubts < IN_DOUBT_TIMES_MAX:
            self._wait_in_doubt(execution)
            return
        said = f"its node was given it {execution.doubts} times, and the connection broke each time"
        lost = Outcome(status=ExecutionStatus.FAILED, reason=Reason.CONNECTION_LOST, error=said)
        self._finish(execution, lost)

    def begun(self, execution: Execution) -> None:
        """The node has it and will report; said twice, it is noted once."""
        if execution.accepted or execution.is_final:
            return
        execution.accepted, execution.in_doubt = True, False
        execution.status = ExecutionStatus.RUNNING
        execution.arguments = None
        self.settle(execution)
        started = records.ExecutionStarted(execution_id=execution.execution_id, attempt=execution.attempts)
        self._note(execution, started)

    def _not_dispatched(self, execution: Execution) -> None:
        if execution.is_final:
            return
        execution.in_doubt = False
        if not execution.remote:
            return
        execution.status = ExecutionStatus.QUEUED
        missed = records.ExecutionNotDispatched(
            execution_id=execution.execution_id, attempt=execution.attempts, reason=Reason.UNAVAILABLE
        )
        self._note(execution, missed)

    def _note(self, execution: Execution, record: records.Record) -> None:
        try:
            self._ledger.note(execution, record)
        except JournalError as error:  # then it is in doubt for whoever starts next
            log.error("%s: %s is not recorded: %s", execution.execution_id, record.kind, type(error).__name__)

    def _wait_in_doubt(self, execution: Execution) -> None:
        if execution.is_final or execution.accepted or self._closed:
            return
        self.settle(execution)
        execution.arguments = None
        timer = asyncio.get_running_loop().call_later(IN_DOUBT_S, self._send_again, execution)
        self._doubts[execution.execution_id] = timer

    def _send_again(self, execution: Execution) -> None:
        del self._doubts[execution.execution_id]
        if not (execution.is_final or execution.accepted):
            self.send(execution)

    def settle(self, execution: Execution) -> None:
        """Its outcome is known, or that it has begun: it is not sent again."""
        if (timer := self._doubts.pop(execution.execution_id, None)) is not None:
            timer.cancel()

    async def _cancel(self, dispatcher: Dispatcher, execution_id: str) -> None:
        with contextlib.suppress(NodeUnreachable, TimeoutError, OSError):
            async with asyncio.timeout(CANCEL_MAX_S):
                await dispatcher.cancel(execution_id)
