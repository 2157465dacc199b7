"""Deliveries that overlap, through a sink whose every answer is held, and what must then hold.

The sink knows what arrived; the rules are read from that and from the journal, not from the code under test.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from agentfield_journal import JournalError
from agentfield_rt.core import deliveries as core
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.deliveries import (
    CallableSink,
    Decision,
    Deliveries,
    DeliveryOutcome,
    DeliveryStatus,
    Destination,
    Output,
    Parcel,
    SinkError,
)
from agentfield_rt.errors import IllegalCommand, Reason, RepairNeeded
from agentfield_rt.run import Run
from agentfield_rt.testing import RuleBroken
from agentfield_rt.testing.virtual_time import VirtualTimeLoop
from tests.approvals.stage import RUN_ID, SESSION_ID, Stage, settle
from tests.virtual_time import time_passes

SECRET = b"the caller's bank account"
_NTH = st.integers(0, 3)
_ANSWERS = ["done", "done", "lost", "lost", "late", "refused", "raises"]
_STEPS = {
    "deliver": (6, st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 1), (1, 2)])),
    "answer": (6, st.tuples(_NTH, st.sampled_from(_ANSWERS))),
    "reconcile": (3, st.tuples(_NTH, st.booleans())),
    "cancel": (1, st.tuples(_NTH)),
    "pass": (1, st.tuples(st.sampled_from([1.0, 31.0]))),
    "full": (1, st.tuples(st.integers(1, 2))),
    "die": (1, st.tuples()),
}
_NAMES = [name for name, (weight, _) in _STEPS.items() for _ in range(weight)]
_STEP = st.sampled_from(_NAMES).flatmap(lambda name: st.tuples(st.just(name), _STEPS[name][1]))
Step = tuple[tuple[str, tuple[Any, ...]], int]
STEPS = st.lists(st.tuples(_STEP, st.sampled_from([50, 50, 50, 3, 1, 0])), min_size=4, max_size=24)
"""What happens, and how many turns of the loop pass before the next step."""


@dataclass
class World:
    """One run in any number of processes, one after the other."""

    stage: Stage
    held: dict["asyncio.Future[str]", Parcel] = field(default_factory=dict["asyncio.Future[str]", Parcel])
    called: list[str] = field(default_factory=list[str])
    arrived: dict[str, str] = field(default_factory=dict[str, str])
    tasks: list["asyncio.Task[DeliveryOutcome]"] = field(
        default_factory=list["asyncio.Task[DeliveryOutcome]"]
    )
    broken: list[str] = field(default_factory=list[str])
    run: Run = field(init=False)
    deliveries: Deliveries = field(init=False)

    async def begin(self) -> None:
        """A process opens the run, new or old."""
        self.run = await self.stage.open_run()
        history = await self.stage.history()
        self.deliveries = Deliveries(self.run, self.stage.content, session_id=SESSION_ID, history=history)
        await self.deliveries.recover()

    async def send(self, parcel: Parcel) -> str:
        """What is protected: nothing gets here without its durable intent, nor twice."""
        told = await self.stage.told_durable()
        if parcel.op_id not in {r.op_id for r in told if isinstance(r, records.OutputDispatchRequested)}:
            self.broken.append(f"{parcel.op_id} was sent before its intent was durable")
        self.called.append(parcel.op_id)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.held[answer] = parcel
        how = await answer
        if how in ("done", "lost"):
            if parcel.dedupe_key in self.arrived.values():
                self.broken.append(f"{parcel.op_id} arrived, as another had before it")
            self.arrived[parcel.op_id] = parcel.dedupe_key
        match how:
            case "done":
                return "receipt"
            case "raises":
                raise RuntimeError(SECRET)
            case _:
                raise SinkError("told to", reason=Reason.UNAVAILABLE, not_done=how == "refused")

    async def play(self, steps: list[Step]) -> None:
        await self.begin()
        for (name, arguments), turns in steps:
            await getattr(self, f"do_{name}")(*arguments)
            for _ in range(turns):
                await asyncio.sleep(0)
        self.stage.faults.full = 0
        await self._end()

    async def do_deliver(self, version: int, case: int) -> None:
        output = Output(source_id="turn_1", version=version, body=SECRET)
        going = self.deliveries.deliver(
            output, Destination("crm", f"case-{case}"), CallableSink("desk", self.send)
        )
        self.tasks.append(asyncio.create_task(going))

    async def do_answer(self, back: int, how: str) -> None:
        waiting = [answer for answer in self.held if not answer.done()]
        if waiting:
            waiting[-1 - back % len(waiting)].set_result(how)

    async def do_reconcile(self, back: int, gives_up: bool) -> None:
        """Somebody looks, and says what is so; or gives up."""
        in_doubt = self.deliveries.ledger.unresolved
        if not in_doubt:
            return
        op_id = in_doubt[back % len(in_doubt)].request.op_id
        truth = Decision.DONE if op_id in self.arrived else Decision.NOT_DONE
        try:
            await self.deliveries.reconcile(op_id, Decision.ABANDONED if gives_up else truth)
        except (JournalError, IllegalCommand):
            return

    async def do_cancel(self, back: int) -> None:
        running = [task for task in self.tasks if not task.done()]
        if running:
            running[back % len(running)].cancel()

    async def do_pass(self, seconds: float) -> None:
        await time_passes(seconds)
        await settle()

    async def do_full(self, appends: int) -> None:
        self.stage.faults.full = appends

    async def do_die(self) -> None:
        """The process is gone between two appends; what its sinks were doing is cut off."""
        self.stage.faults.appends_left = 0
        for task in self.tasks:
            task.cancel()
        for answer in self.held:
            answer.cancel()
        await settle()
        await self.begin()

    async def _end(self) -> None:
        await time_passes(120)
        await settle()
        if any(not task.done() for task in self.tasks):
            raise RuleBroken("a delivery has no deadline")
        await self.deliveries.close()
        await self.run.durable()
        history = await self.stage.history()
        if core.replay(RUN_ID, history) != self.deliveries.ledger:
            raise RuleBroken("the live ledger is not the fold of the journal")
        self._check_outcomes(history)
        self._check(history)
        if self.broken:
            raise RuleBroken(self.broken[0])
        if SECRET in await self.stage.payloads():
            raise RuleBroken("content is in the journal")

    def _check_outcomes(self, history: list[Record]) -> None:
        deduped = 0
        for task in self.tasks:
            if task.cancelled():
                continue
            error = task.exception()
            if error is not None:
                if not isinstance(error, JournalError | RepairNeeded | IllegalCommand):
                    raise RuleBroken(f"a delivery broke: {type(error).__name__}") from error
                continue
            outcome = task.result()
            deduped += outcome.status is DeliveryStatus.DEDUPED
            if outcome.status in (DeliveryStatus.COMPLETED, DeliveryStatus.DEDUPED):
                if outcome.op_id not in self.arrived:
                    raise RuleBroken(f"{outcome.op_id} is {outcome.status} and never arrived")
            elif outcome.status is DeliveryStatus.FAILED and outcome.op_id in self.arrived:
                raise RuleBroken(f"{outcome.op_id} arrived and is called failed")
        if deduped > sum(isinstance(r, records.OutputDispatchDeduped) for r in history):
            raise RuleBroken("a duplicate has no record")

    def _check(self, history: list[Record]) -> None:
        opened = Counter(r.op_id for r in history if isinstance(r, records.OutputDispatchRequested))
        closed = Counter(r.op_id for r in history if isinstance(r, CLOSERS))
        if opened != closed or any(count != 1 for count in opened.values()):
            raise RuleBroken(f"openers and closers do not match: {opened} {closed}")
        if any(count > 1 for count in Counter(self.called).values()):
            raise RuleBroken("a sink was called twice for one intent")
        for record in history:
            if isinstance(record, records.OutputDispatchFailed) and record.op_id in self.arrived:
                raise RuleBroken(f"{record.op_id} arrived and is recorded as failed")
            if isinstance(record, records.OutputDispatchCompleted) and record.op_id not in self.arrived:
                raise RuleBroken(f"{record.op_id} is recorded as completed and never arrived")


CLOSERS = (
    records.OutputDispatchCompleted,
    records.OutputDispatchFailed,
    records.OutputDispatchReconciliationNeeded,
)


def play(steps: list[Step], seed: int) -> None:
    """Play the steps in a world of their own, on virtual time, with tasks in an order of their own."""

    async def go() -> None:
        stage = Stage()
        try:
            await World(stage).play(steps)
        finally:
            await stage.close()

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(seed=seed)) as runner:
        runner.run(go())
