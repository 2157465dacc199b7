"""Tool calls that need approvals, people and approvers who answer them in any order, and what must then hold.

The rules are read from the journal and from what the executor saw, not from the code under test.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from agentfield_journal import JournalError
from agentfield_journal.envelope import Retention
from agentfield_rt.approvals import ApprovalDecision, ApprovalRule, Approvals, DecisionRefused, Question
from agentfield_rt.core import approvals as core
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.frames import ToolCalled, ToolResultFrame
from agentfield_rt.run import Context, Run
from agentfield_rt.testing import RuleBroken
from agentfield_rt.testing.virtual_time import VirtualTimeLoop
from agentfield_rt.voice.tools import ToolCalls, ToolGate
from tests.approvals.stage import SESSION_ID, Stage, settle
from tests.virtual_time import time_passes

RULES = {
    "desk.refund": ApprovalRule("desk.refund", expires_after_s=60),
    "desk.delete": ApprovalRule("desk.delete", expires_after_s=5, for_session=False),
}
TOOLS = {"refund": "desk.refund", "delete": "desk.delete", "look_up": "desk.look_up"}
GRANTS = (ApprovalDecision.APPROVED, ApprovalDecision.APPROVED_FOR_SESSION)
SECRET = "the caller's bank account"
Step = tuple[tuple[str, tuple[Any, ...]], int]

_ANSWERS = [*ApprovalDecision, *ApprovalDecision, None, "rubbish", RuntimeError, asyncio.CancelledError]
_NTH = st.integers(0, 3)
_STEPS = {
    "call": (8, st.tuples(st.sampled_from(sorted(TOOLS)))),
    "decide": (5, st.tuples(_NTH, st.sampled_from(ApprovalDecision))),
    "approver": (5, st.tuples(_NTH, st.sampled_from(_ANSWERS))),
    "cancel": (1, st.tuples(_NTH)),
    "pass": (1, st.tuples(st.sampled_from([0.5, 5.0, 61.0]))),
    "full": (1, st.tuples(st.integers(1, 2))),
    "die": (1, st.tuples(st.booleans())),
}
_NAMES = [name for name, (weight, _) in _STEPS.items() for _ in range(weight)]
_STEP = st.sampled_from(_NAMES).flatmap(lambda name: st.tuples(st.just(name), _STEPS[name][1]))
STEPS = st.lists(st.tuples(_STEP, st.sampled_from([50, 50, 50, 3, 1, 0])), min_size=4, max_size=24)
"""What happens, and how many turns of the loop pass before the next step."""


@dataclass
class World:
    """One session in any number of processes, one after the other."""

    stage: Stage
    asked: dict["asyncio.Future[Any]", str] = field(default_factory=dict["asyncio.Future[Any]", str])
    said: dict[str, Any] = field(default_factory=dict[str, Any])
    questions: list[Question] = field(default_factory=list[Question])
    calls_total: int = 0
    died: bool = False
    broken: list[str] = field(default_factory=list[str])
    executed: list[str] = field(default_factory=list[str])
    told: Counter[str] = field(default_factory=Counter[str])
    granted: dict[str, ApprovalDecision] = field(default_factory=dict[str, ApprovalDecision])
    run: Run = field(init=False)
    approvals: Approvals = field(init=False)
    tools: ToolCalls = field(init=False)

    async def begin(self) -> None:
        """A process opens the session, new or old."""
        self.run = await self.stage.open_run()
        history = await self.stage.history()
        self.approvals = Approvals(self.run, self.stage.content, session_id=SESSION_ID, history=history)
        if not history:
            self.record(
                records.SessionStarted(
                    target="desk.phone", provider="local", transport="websocket", approvals=tuple(RULES)
                )
            )
        gate = ToolGate(TOOLS, {name: self._rule(rule) for name, rule in RULES.items()}, self.approvals)
        self.tools = ToolCalls(gate, self.answer, self.execute, self.record, self.keep)

    def _rule(self, rule: ApprovalRule) -> ApprovalRule:
        return ApprovalRule(
            rule.target,
            approver=self.approver,
            expires_after_s=rule.expires_after_s,
            for_session=rule.for_session,
        )

    # What the session gives to its tools.

    def record(self, record: Record) -> None:
        self.run.append([record], Context(session_id=SESSION_ID))

    def keep(self, text: str) -> str:
        return self.stage.content.put(text.encode(), subject=SESSION_ID, retention=Retention.SESSION)

    async def answer(self, frame: ToolResultFrame) -> None:
        self.told[frame.call_id] += 1

    async def execute(self, target: str, arguments: Mapping[str, Any], _: str) -> str:
        """What the whole feature is about: nothing gets here without its durable approval."""
        call_id = arguments["call"]
        self.executed.append(call_id)
        if target in RULES and not any(
            _allows(request, closer, target, call_id)
            for request, closer in _closed(await self.stage.told_durable())
        ):
            self.broken.append(f"{call_id} ran without a durable approval")
        return "done"

    async def approver(self, question: Question) -> Any:
        """Holds its answer until the test gives one."""
        if question.approval_id not in {
            r.op_id for r in await self.stage.told_durable() if isinstance(r, records.ApprovalRequested)
        }:
            self.broken.append("the approver was asked before the question was durable")
        held: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked[held] = question.approval_id
        return await held

    # Steps.

    async def play(self, steps: list[Step]) -> None:
        await self.begin()
        for (name, arguments), turns in steps:
            await getattr(self, f"do_{name}")(*arguments)
            for _ in range(turns):
                await asyncio.sleep(0)
            self.questions += [q for q in self.approvals.pending if q not in self.questions]
        self.stage.faults.full = 0
        await self._end()

    async def do_call(self, name: str) -> None:
        self.calls_total += 1
        call_id = f"call_{self.calls_total}"
        arguments = msgspec.json.encode({"call": call_id, "account": SECRET}).decode()
        self.tools.handle(ToolCalled("resp", call_id, name, arguments))

    async def do_decide(self, back: int, decision: ApprovalDecision) -> None:
        if not self.questions:
            return
        question = self.questions[-1 - back % len(self.questions)]
        try:
            approval = await self.approvals.decide(question.approval_id, decision)
        except (JournalError, DecisionRefused, core.UnknownApproval):
            return
        if approval.status.value != decision.value:
            raise RuleBroken(f"{decision} was taken, and {approval.status} holds")
        first = self.granted.setdefault(question.approval_id, decision)
        if first is not decision:
            raise RuleBroken(f"{first} was taken, and {decision} after it")

    async def do_approver(self, back: int, answer: Any) -> None:
        waiting = [held for held in self.asked if not held.done()]
        if not waiting:
            return
        held = waiting[-1 - back % len(waiting)]
        self.said[self.asked[held]] = answer
        if isinstance(answer, type) and issubclass(answer, asyncio.CancelledError):
            held.cancel()
        elif isinstance(answer, type):
            held.set_exception(answer(SECRET))
        else:
            held.set_result(answer)

    async def do_cancel(self, back: int) -> None:
        running = [task for task in asyncio.all_tasks() if task.get_name().startswith("tool call_")]
        if running:
            running.sort(key=lambda task: task.get_name())
            running[back % len(running)].cancel()

    async def do_pass(self, seconds: float) -> None:
        await time_passes(seconds)
        await settle()
        for question in self.approvals.pending:
            if self.approvals.remaining_s(question.approval_id) <= 0:
                raise RuleBroken("an approval outlived its time")

    async def do_full(self, appends: int) -> None:
        self.stage.faults.full = appends

    async def do_close(self) -> None:
        await self.tools.close()
        await self.approvals.close()

    async def do_die(self, again: bool) -> None:
        """The process is gone between two appends; the next one opens what is durable."""
        self.stage.faults.appends_left, self.died = 0, True
        tools, approvals = self.tools, self.approvals
        await self.begin()
        await self.approvals.recover({"desk.refund": self._rule(RULES["desk.refund"])} if again else None)
        await tools.close()
        await approvals.close()

    async def _end(self) -> None:
        await self.do_close()
        await settle()
        for held in self.asked:
            held.cancel()
        await self.run.durable()
        history = await self.stage.history()
        folded = replace(core.replay(history), required=frozenset())  # of the session itself it knows nothing
        if folded != replace(self.approvals.state, required=frozenset()):
            raise RuleBroken("the live state is not the fold of the journal")
        check(history, self)
        check_times(self.stage)
        if self.broken:
            raise RuleBroken(self.broken[0])
        if SECRET.encode() in await self.stage.payloads():
            raise RuleBroken("content is in the journal")


def _closed(history: list[Record]) -> list[tuple[records.ApprovalRequested, Any]]:
    """Every closed approval with what closed it first."""
    openers = {r.op_id: r for r in history if isinstance(r, records.ApprovalRequested)}
    closers: dict[str, Any] = {}
    for record in history:
        if isinstance(record, CLOSERS):
            closers.setdefault(record.op_id, record)
    return [(openers[op_id], closer) for op_id, closer in closers.items()]


CLOSERS = (
    records.ApprovalGranted,
    records.ApprovalDenied,
    records.ApprovalExpired,
    records.ApprovalCancelled,
)


def _allows(request: records.ApprovalRequested, closer: Any, target: str, call_id: str) -> bool:
    if not isinstance(closer, records.ApprovalGranted) or request.target != target:
        return False
    return closer.scope is records.ApprovalScope.SESSION or request.subject_op_id == call_id


def check(history: list[Record], world: World) -> None:
    """What holds of every journal, and of what the world saw."""
    opened = Counter(r.op_id for r in history if isinstance(r, records.ApprovalRequested))
    closed = Counter(r.op_id for r in history if isinstance(r, CLOSERS))
    if opened != closed or any(count != 1 for count in opened.values()):
        raise RuleBroken(f"openers and closers do not match: {opened} {closed}")
    for request, closer in _closed(history):
        _check_answer(request, closer, world)
    _check_tools(history, world)


def _check_answer(request: records.ApprovalRequested, closer: Any, world: World) -> None:
    is_granted = isinstance(closer, records.ApprovalGranted)
    if world.granted.get(request.op_id) in GRANTS and not is_granted:
        raise RuleBroken(f"{request.op_id} was granted to somebody's face, and {closer.kind} is recorded")
    if not is_granted:
        return
    if closer.decided_by is records.Decider.APPROVER and world.said.get(request.op_id) not in GRANTS:
        raise RuleBroken(f"the approver never granted {request.op_id}")
    if closer.scope is records.ApprovalScope.SESSION and not RULES[request.target].for_session:
        raise RuleBroken("granted for the session, which was not allowed")


def _check_tools(history: list[Record], world: World) -> None:
    for place, record in enumerate(history):
        if isinstance(record, records.ToolIntentRecorded) and record.target in RULES:
            before = _closed(history[:place])
            if not any(_allows(*pair, record.target, record.op_id) for pair in before):
                raise RuleBroken(f"the intent of {record.op_id} stands before its approval")
    intents = Counter(r.op_id for r in history if isinstance(r, records.ToolIntentRecorded))
    results = Counter(r.op_id for r in history if isinstance(r, records.ToolResultRecorded))
    if intents != results and not world.died:
        raise RuleBroken(f"tool calls and their results do not match: {intents} {results}")
    if any(count > 1 for count in (*Counter(world.executed).values(), *world.told.values())):
        raise RuleBroken("a tool call ran, or was answered, twice")


def check_times(stage: Stage) -> None:
    """No grant is written so late that its approval must have expired."""
    last_s = {
        op_id: at_s + RULES["desk.refund"].expires_after_s
        for at_s, kind, op_id in stage.faults.appended
        if kind == records.ApprovalRequested.kind
    }
    for at_s, kind, op_id in stage.faults.appended:
        if kind == records.ApprovalGranted.kind and at_s >= last_s[op_id]:
            raise RuleBroken("a grant was written after its time")


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
