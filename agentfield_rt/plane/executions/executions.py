"""Executions: accepted when durable, taken to their node, one outcome each. Satisfies `Executor`.

Work of a node in another process outlives this one: what is open when a plane ends, the next goes on with.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from agentfield_journal import JournalError, QueuedContentStore
from agentfield_rt.errors import ExecutionFailed, RealtimeError, Reason
from agentfield_rt.observe import Within
from agentfield_rt.plane.errors import BadRequest, Busy, Conflict, NotFound, PlaneError
from agentfield_rt.plane.executions.admission import Admission
from agentfield_rt.plane.executions.carrying import Carriers
from agentfield_rt.plane.executions.dispatch import Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.known import Known
from agentfield_rt.plane.executions.ledger import Ledger
from agentfield_rt.plane.executions.past import ExecutionRows, Past
from agentfield_rt.plane.executions.restarting import RESTART, Restart, Restarts
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.executions.submission import NO_EXTRAS, Extras
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.runs import Runs
from agentfield_rt.voice.link import ExecutionRequest

log = logging.getLogger(__name__)

STOP_MAX_S = 5.0
"""How long the end of what runs here is waited for when the plane closes."""

LOOK_EVERY_S = 1.0
"""How often it is looked for executions whose time is over."""

_RECOVER_TOGETHER_MAX = 256

_REASONS: dict[type[PlaneError], Reason] = {
    BadRequest: Reason.INVALID_REQUEST,
    Busy: Reason.OVERFLOW,
    Conflict: Reason.NOT_ALLOWED,
    NotFound: Reason.NOT_FOUND,
}


class Executions:
    """Has the nodes do what is submitted.

    Args:
        rows: Where executions are looked up that are no longer in memory.
        within: Goes round the work of each.
    """

    def __init__(
        self,
        runs: Runs,
        nodes: Nodes,
        content: QueuedContentStore,
        *,
        rows: ExecutionRows | None = None,
        within: Within = nullcontext,
    ) -> None:
        self._runs = runs
        self._ledger = Ledger(content)
        self._known = Known()
        self._past = Past(runs.journal, rows)
        self._restarts = Restarts(self._ledger, self._past)
        self._admission = Admission(runs, nodes, self._ledger, known=self._known, past=self._past)
        self._carriers = Carriers(nodes, self._ledger, self._finish, now=runs.now, within=within)
        self._listeners: list[Callable[[Execution], None]] = []
        self._endings: set[asyncio.Task[None]] = set()
        self._clock: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many of this process's own nodes are queued or running: those end with it."""
        return sum(not execution.remote for execution in self._known.open())

    @property
    def open_total(self) -> int:
        """How many are queued or running, wherever that is."""
        return len(self._known)

    @property
    def waiting_total(self) -> int:
        """How many have not been sent to their node."""
        return self._carriers.waiting_total

    def on_finished(self, listener: Callable[[Execution], None]) -> None:
        """Tell `listener` of each execution that ended, once that is durable. It must not raise, nor wait."""
        self._listeners.append(listener)

    def in_memory(self, execution_id: str) -> Execution | None:
        """One that is open, or ended a short while ago."""
        return self._known.find(execution_id)

    async def get(self, execution_id: str) -> Execution:
        """One that was submitted, whenever that was.

        Raises:
            NotFound: there is none.
            JournalError: it cannot be looked up.
        """
        return self._known.find(execution_id) or await self.recorded(execution_id)

    async def recorded(self, execution_id: str) -> Execution:
        """As `get`, as the durable records have it: the same in every process, to the microsecond."""
        execution = await self._past.find(execution_id)
        if execution is None:
            raise NotFound("execution not found")
        await self._ledger.read_words(execution)
        return execution

    async def submit(self, request: ExecutionRequest, *, extras: Extras = NO_EXTRAS) -> Execution:
        """Accept an execution; it is durable when this returns, and runs as soon as its node can be asked.

        Raises:
            BadRequest, NotFound: the target is none of ours, or the arguments are no JSON.
            Busy: as many are open as may be, or the server is going down.
            Conflict: the key was used for something else.
            JournalError: it could not be made durable: it does not run.
        """
        done = await self._restarts.take(request) if self._restarts else None
        if done is not None:
            extras = replace(extras, restart_of=done.execution_id)
        execution, is_new = await self._admission.admit(request, extras)
        if is_new:
            self._watch_time()
            if done is None:
                self._carriers.send(execution)
            else:
                result = Raw(done.result_json or b"null")
                self._finish(execution, Outcome(status=ExecutionStatus.SUCCEEDED, result=result))
        return execution

    async def execute(self, request: ExecutionRequest) -> Any:
        """See `Executor.execute`."""
        try:
            execution = await self.submit(request)
        except PlaneError as error:
            raise ExecutionFailed(str(error), execution_id=None, reason=_REASONS[type(error)]) from error
        try:
            await execution.finished.wait()
        except asyncio.CancelledError:
            self._cancel_soon(execution)
            raise
        return execution.require_result()

    def _cancel_soon(self, execution: Execution) -> None:
        """Whoever waited for it is gone: nobody wants its result."""
        task = asyncio.create_task(self._cancel(execution), name=f"cancel {execution.execution_id}")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _cancel(self, execution: Execution) -> None:
        try:
            await self.cancel(execution.execution_id)
        except (PlaneError, JournalError) as error:
            log.info("%s is not cancelled: %s", execution.execution_id, type(error).__name__)

    async def report(self, execution_id: str, outcome: Outcome) -> Execution:
        """What a node says became of an execution; durable when this returns. Said twice, it counts once.

        Raises:
            NotFound: there is no such execution.
            Conflict: it ended another way, or does not run at another process.
            JournalError: it could not be recorded.
        """
        execution = await self.get(execution_id)
        if execution.is_final:
            if execution.status is not outcome.status:
                raise Conflict(
                    f"execution {execution_id} is {execution.status}; it cannot become {outcome.status}"
                )
        elif not execution.remote:
            raise Conflict(
                f"execution {execution_id} runs in this server or its agent; nobody else reports on it"
            )
        else:
            self._close(execution, outcome)
        await execution.told()
        return execution

    def open(self) -> list[Execution]:
        """All that are open, the oldest first."""
        return self._known.open()

    def began(self, execution_id: str) -> None:
        """A node says that it works on an execution: a hint, which never changes one that has ended."""
        execution = self._known.find(execution_id)
        if execution is not None and execution.remote and execution.attempts:
            self._carriers.begun(execution)

    async def cancel(self, execution_id: str) -> Execution:
        """End an execution, and all that it called; their nodes are asked to stop. Durable when this returns.

        Raises:
            NotFound: there is no such execution.
            Conflict: it has ended another way.
            JournalError: it could not be recorded.
        """
        execution = await self.get(execution_id)
        if execution.is_final and execution.status is not ExecutionStatus.CANCELLED:
            raise Conflict(f"execution {execution_id} is {execution.status}; it cannot be cancelled")
        if not execution.is_final and self._known.find(execution_id) is None:
            raise Conflict(f"execution {execution_id} runs within its agent; only that can end it")
        for each in list(self._known.family(execution)):
            if not each.is_final:
                self._close(each, Outcome(status=ExecutionStatus.CANCELLED, reason=Reason.CANCELLED))
                self._carriers.stop(each)
        await execution.told()
        return execution

    async def restart(
        self, execution_id: str, restart: Restart = RESTART, *, extras: Extras = NO_EXTRAS
    ) -> Execution:
        """Run an execution again, or the workflow that it is in, in a run of its own.

        Raises:
            NotFound: there is no such execution.
            Conflict, ContentGone: its arguments are not known here or not any more; give others.
            BadRequest, Busy, JournalError: see `Restarts.prepare` and `submit`.
        """
        request, restart_of = await self._restarts.prepare(await self.get(execution_id), restart)
        try:
            return await self.submit(request, extras=replace(extras, restart_of=restart_of))
        except BaseException:
            self._restarts.forget(request.run_id or "")
            raise

    def begun_at(self, node_id: str) -> list[Execution]:
        """Those that a node has accepted and has not told the end of."""
        return [each for each in self._known.open() if each.accepted and each.node_id == node_id]

    def fail_orphans(self, node_id: str, why: str) -> int:
        """End what a node had begun and cannot report on any more, as its process is gone; returns how many.

        What it was not given yet goes to its next process.
        """
        orphans = self.begun_at(node_id)
        for orphan in orphans:
            reason = Reason.AGENT_RESTART_ORPHANED
            self._finish(orphan, Outcome(status=ExecutionStatus.FAILED, reason=reason, error=why))
        return len(orphans)

    async def recover(self, run_ids: Sequence[str]) -> int:
        """Go on with the executions that an earlier process left open in these runs; returns how many.

        Call it once all nodes of this process and the registered ones are known.
        """
        recovered = 0
        for start in range(0, len(run_ids), _RECOVER_TOGETHER_MAX):  # runs are claimed in groups
            together = map(self._recover, run_ids[start : start + _RECOVER_TOGETHER_MAX])
            recovered += sum(await asyncio.gather(*together))
        return recovered

    async def _recover(self, run_id: str) -> int:
        recovered = 0
        try:
            for execution in (await self._past.of_run(run_id)).values():
                if not execution.is_final:
                    execution.run = await self._runs.hold(run_id)
                    self._known.add(execution)
                    self._watch_time()
                    self._carriers.resume(execution)
                    recovered += 1
        except (RealtimeError, JournalError) as error:
            log.error("run %s cannot be gone on with: %s", run_id, error)
        return recovered

    async def drain(self) -> None:
        """Accept nothing new, and return when nothing of this process's own nodes runs any more.

        What runs may go on calling others. Cancel this when there is no more time.
        """
        self._admission.closed = True
        for execution in self._known.open():
            if not execution.remote:
                await execution.finished.wait()

    async def close(self) -> None:
        """Cancel what runs here and record it; what other processes have goes on without this one."""
        self._admission.closed = True
        if self._clock is not None:
            self._clock.cancel()
        await self._carriers.close(deadline_s=STOP_MAX_S)
        if self._endings:
            await asyncio.wait(self._endings, timeout=STOP_MAX_S)
        for execution in self._known.open():
            self._let_go(execution, seal=False)
        await self._runs.all_let_go(deadline_s=STOP_MAX_S)

    def _let_go(self, execution: Execution, *, seal: bool = True) -> None:
        if execution.run is not None:
            execution.run = None
            self._runs.let_go_soon(execution.run_id, seal=seal)

    def _watch_time(self) -> None:
        """Look at all that are open now and then: a timer for each would cost more than accepting it."""
        if self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look_at_time)

    def _look_at_time(self) -> None:
        self._clock = None
        for execution in self._known.overdue(self._runs.now()):
            self._give_up(execution)
        if self._known:
            self._watch_time()

    def _give_up(self, execution: Execution) -> None:
        error = f"nothing came of it within {execution.time_max_s:g} s"
        self._finish(execution, Outcome(status=ExecutionStatus.TIMEOUT, reason=Reason.TIMEOUT, error=error))
        self._carriers.stop(execution)

    def _finish(self, execution: Execution, outcome: Outcome) -> None:
        """As `_close`, where nobody is there to be told that it could not be recorded."""
        try:
            self._close(execution, outcome)
        except JournalError as error:
            log.error("the outcome of %s is not recorded: %s", execution.execution_id, type(error).__name__)
            execution.end(outcome.status, outcome.reason, at=self._runs.now())
            self._ended(execution)

    def _close(self, execution: Execution, outcome: Outcome) -> None:
        """The one place where an execution ends.

        Raises:
            JournalError: that could not be recorded.
        """
        if not execution.is_final:
            self._ledger.close(execution, outcome, at=self._runs.now())
            self._ended(execution)

    def _ended(self, execution: Execution) -> None:
        self._carriers.settle(execution)
        self._known.end(execution)
        if self._restarts and execution.parent_execution_id is None:
            self._restarts.forget(execution.run_id)
        execution.announce()
        task = asyncio.create_task(self._after(execution), name=f"finish {execution.execution_id}")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _after(self, execution: Execution) -> None:
        try:
            await execution.told()
        except JournalError:
            pass  # whoever asks for it is told so
        else:
            for listener in self._listeners:
                listener(execution)
        finally:
            self._let_go(execution)
