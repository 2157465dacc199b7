"""Executions in any order: Hypothesis looks for work that is lost, that is done again, or that ends twice."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentfield_journal import JournalError
from agentfield_rt.core import records
from agentfield_rt.errors import RealtimeError, Reason
from agentfield_rt.plane.executions.carrying import IN_DOUBT_S
from agentfield_rt.plane.executions.dispatch import Dispatch, Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.fold import fold_executions
from agentfield_rt.plane.executions.status import FINAL_STATUSES, ExecutionStatus
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.plane.nodes import Lifecycle
from agentfield_rt.plane.notation import further_run_id
from agentfield_rt.run import decode
from agentfield_rt.testing.virtual_time import VirtualTimeLoop, time_passes
from tests.plane.executions.stage import Stage, work

ACTS = ["accept", "answer", "unreachable", "lost", "begun", "hold"]
OUTCOMES = {
    "succeeded": Outcome(status=ExecutionStatus.SUCCEEDED, result=[1, "two"]),
    "failed": Outcome(status=ExecutionStatus.FAILED, error="no", reason=Reason.HANDLER_ERROR),
    "cancelled": Outcome(status=ExecutionStatus.CANCELLED),
}
HOURS = 20_000.0
LAST = st.integers(min_value=0, max_value=4)
"""Which execution: the last that was accepted, the one before …"""


class ExecutionsMachine(RuleBasedStateMachine):
    """What was accepted, what was told, what the node was given; and what must be true of them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop(hours=HOURS)
        self.stage = Stage(self.loop.time_ns)
        self.stage.elsewhere.seen = self.given
        self.accepted: list[str] = []
        self.told: dict[str, ExecutionStatus] = {}
        self.begun_at: dict[str, float] = {}
        self.process = 0
        self.surprises: list[Exception] = []
        self.loop.set_exception_handler(lambda loop, told: self._surprised(told))
        self.calls: set[asyncio.Task[None]] = set()

    @initialize(seed=st.integers(0, 1_000))
    def opens(self, seed: int) -> None:
        self.loop.reseed(seed)
        self.wait_for(self.stage.open())

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def on_loop(self, act: Callable[[], object]) -> None:
        """What does not wait, where the plane would do it."""

        async def there() -> None:
            act()

        self.wait_for(there())

    def begin(self, call: Coroutine[Any, Any, None]) -> None:
        """Do it beside all else; who is refused, or asks a plane that is killed, is told so."""

        async def quietly() -> None:
            try:
                await call
            except (RealtimeError, JournalError):
                pass
            except Exception as error:
                self.surprises.append(error)

        task = self.loop.create_task(quietly())
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

    @rule(run=st.sampled_from([None, None, "run_a"]), nested=st.booleans(), key=st.sampled_from([None, "k"]))
    def submits(self, run: str | None, nested: bool, key: str | None) -> None:
        parent = self.accepted[-1] if nested and self.accepted else None
        self.begin(self._submit(work(run, parent), Extras(idempotency_key=key)))

    async def _submit(self, request: Any, extras: Extras) -> None:
        process = self.process
        execution = await self.stage.executions.submit(request, extras=extras)
        if process == self.process and execution.execution_id not in self.accepted:
            self.accepted.append(execution.execution_id)

    @rule(turns=st.integers(1, 6))
    def some_turns(self, turns: int) -> None:
        async def pass_turns() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.wait_for(pass_turns())

    @rule(seconds=st.sampled_from([0.2, 2.0, IN_DOUBT_S / 2, IN_DOUBT_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.wait_for(time_passes(seconds))

    @rule(acts=st.lists(st.sampled_from(ACTS), max_size=3))
    def the_node_will(self, acts: list[str]) -> None:
        self.stage.elsewhere.acts.clear()
        self.stage.elsewhere.acts.extend(acts)

    @rule()
    def the_node_goes_on(self) -> None:
        self.stage.elsewhere.go_on.set()
        self.stage.elsewhere.go_on = asyncio.Event()

    @rule(away=st.booleans())
    def the_node_comes_and_goes(self, away: bool) -> None:
        self.on_loop(lambda: self.stage.becomes(Lifecycle.OFFLINE if away else Lifecycle.READY))

    @rule()
    def the_node_starts_anew(self) -> None:
        self.stage.elsewhere.working.clear()
        self.on_loop(lambda: self.stage.executions.fail_orphans("far", "another instance"))

    @precondition(lambda self: self.accepted)
    @rule(back=LAST, how=st.sampled_from(sorted(OUTCOMES)))
    def somebody_reports(self, back: int, how: str) -> None:
        self.begin(self._report(self._pick(back), OUTCOMES[how]))

    @precondition(lambda self: self.accepted)
    @rule(back=LAST)
    def somebody_cancels(self, back: int) -> None:
        self.begin(self._cancel(self._pick(back)))

    @precondition(lambda self: self.accepted)
    @rule(back=LAST)
    def somebody_asks(self, back: int) -> None:
        self.begin(self._ask(self._pick(back)))

    @precondition(lambda self: self.accepted)
    @rule(back=LAST)
    def the_node_hints(self, back: int) -> None:
        self.on_loop(lambda: self.stage.executions.began(self._pick(back)))

    @rule()
    def is_killed(self) -> None:
        self.process += 1
        self.stage.kill()
        self.some_turns(3)
        self._all_tasks_end()
        self.wait_for(self.stage.open())

    @rule()
    def is_closed(self) -> None:
        self.stage.elsewhere.go_on.set()  # or it would be waited for
        self.wait_for(self.stage.close())
        self.process += 1
        self._all_tasks_end()
        self.stage.elsewhere.go_on = asyncio.Event()
        self.wait_for(self.stage.open())

    def _all_tasks_end(self) -> None:
        loop: Any = self.loop
        for timer in loop._scheduled:
            timer.cancel()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.wait_for(asyncio.sleep(0))
        self.wait_for(asyncio.sleep(0))

    def _pick(self, back: int) -> str:
        return self.accepted[-1 - back % len(self.accepted)]

    async def _report(self, execution_id: str, outcome: Outcome) -> None:
        process = self.process
        execution = await self.stage.executions.report(execution_id, outcome)
        self._note(execution_id, execution.status, process)

    async def _cancel(self, execution_id: str) -> None:
        process = self.process
        execution = await self.stage.executions.cancel(execution_id)
        self._note(execution_id, execution.status, process)

    async def _ask(self, execution_id: str) -> None:
        process = self.process
        execution = await self.stage.executions.get(execution_id)
        await execution.told()
        self._note(execution_id, execution.status, process)

    def _note(self, execution_id: str, status: ExecutionStatus, process: int) -> None:
        """Somebody outside has been told; what a killed process would have said nobody heard."""
        if process != self.process or status not in FINAL_STATUSES:
            return
        assert self.told.setdefault(execution_id, status) is status, "an end moved"
        assert self._durable(execution_id) is status, "told before it was durable"

    def _durable(self, execution_id: str) -> ExecutionStatus | None:
        found = self._found(execution_id)
        return None if found is None else found.status

    def _found(self, execution_id: str) -> Execution | None:
        """What the journal says; also of one whose submitter never heard that it was accepted."""
        for run_id in self.stage.store.run_ids():
            found = fold_executions(self.stage.envelopes(run_id)).get(execution_id)
            if found is not None:
                return found
        return None

    def given(self, attempt: Dispatch) -> None:
        """The node is given work; the plane would take what is raised here for the node's own trouble."""
        try:
            self._check_given(attempt)
        except AssertionError as error:
            self.surprises.append(error)

    def _check_given(self, attempt: Dispatch) -> None:
        """Its intent is durable, it has not ended, and nobody has it already."""
        now, execution_id = self.loop.time(), attempt.execution_id
        assert execution_id not in self.told, "sent again after its end was told"
        assert execution_id not in self.stage.elsewhere.working or self._doubted(execution_id, now), (
            "sent again although the node has it"
        )
        self.begun_at[execution_id] = now
        number = self.stage.elsewhere.ids().count(execution_id)
        intents = [
            record.attempt
            for run_id in (attempt.run_id, further_run_id(attempt.run_id, execution_id))
            for envelope in self.stage.envelopes(run_id)
            if isinstance(record := decode(envelope), records.ExecutionDispatchRequested)
            and record.execution_id == execution_id
        ]
        assert len(intents) >= number, "sent before the intent was durable"

    def _doubted(self, execution_id: str, now: float) -> bool:
        """Whether the plane could not know that the node has it, and gave its report the time it gets."""
        found = self._found(execution_id)
        return found is not None and not found.accepted and now >= self.begun_at[execution_id] + IN_DOUBT_S

    def _surprised(self, told: dict[str, Any]) -> None:
        if isinstance(error := told.get("exception"), Exception):
            self.surprises.append(error)

    @invariant()
    def nobody_is_surprised(self) -> None:
        for error in self.surprises:
            raise error

    @invariant()
    def nothing_accepted_is_lost(self) -> None:
        for execution_id in self.accepted:
            assert self._durable(execution_id) is not None, "accepted, and not in the journal"

    @invariant()
    def what_was_told_stays(self) -> None:
        for execution_id, status in self.told.items():
            assert self._durable(execution_id) is status

    def teardown(self) -> None:
        """In the end all that was accepted has one end, and every run its last record."""
        try:
            self._settle()
            self.nobody_is_surprised()
            for run_id in self.stage.store.run_ids():
                kinds = self.stage.kinds(run_id)
                closers = Counter(
                    envelope.op_id
                    for envelope in self.stage.envelopes(run_id)
                    if envelope.kind in ("execution_succeeded", "execution_failed", "execution_cancelled")
                )
                assert set(closers.values()) <= {1}, "two ends"
                begun = [
                    each.op_id for each in self.stage.envelopes(run_id) if each.kind == "execution_queued"
                ]
                assert len(begun) == len(set(begun)), "one key, two executions"
                for found in fold_executions(self.stage.envelopes(run_id)).values():
                    assert found.reason not in (Reason.PROCESS_LOST, Reason.INTERNAL), "ended for no reason"
                assert kinds[-1] in ("run_completed", "run_failed", "run_cancelled"), kinds
            for execution_id in self.accepted:
                assert self._durable(execution_id) in FINAL_STATUSES
            self.wait_for(self.stage.close())
        finally:
            self._all_tasks_end()
            self.loop.close()

    def _settle(self) -> None:
        """The node is there, takes everything and does it."""
        if not hasattr(self.stage, "executions"):
            self.wait_for(self.stage.open())
        elsewhere = self.stage.elsewhere
        elsewhere.acts.clear()
        elsewhere.go_on.set()
        self.on_loop(lambda: self.stage.becomes(Lifecycle.READY))
        for _ in range(4):
            self.wait_for(time_passes(2 * IN_DOUBT_S))
            for execution_id in list(elsewhere.working):
                self.begin(self._report(execution_id, OUTCOMES["succeeded"]))
            for execution_id in self.accepted:
                if self._durable(execution_id) is ExecutionStatus.RUNNING:
                    self.begin(self._report(execution_id, OUTCOMES["succeeded"]))
        self.wait_for(time_passes(1))
