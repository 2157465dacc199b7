"""Short stories above the provider's boundary: approvals, deliveries, executions, and whole calls."""

import contextlib
from collections.abc import Iterable
from typing import Any

from agentfield_journal import ContentGone
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.approvals import ApprovalDecision, ApprovalRule, Approvals, ApprovalSubject, Question
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.core.records.rules import Channel
from agentfield_rt.core.rules.rule import Abort, Literal, Mask, PauseForApproval, Rule
from agentfield_rt.deliveries import (
    CallableSink,
    Deliveries,
    DeliveryStatus,
    Destination,
    Output,
    Parcel,
    SinkError,
)
from agentfield_rt.errors import Reason, RepairNeeded
from agentfield_rt.frames import (
    InputFrame,
    InputTranscript,
    ProviderEvent,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from agentfield_rt.ports import SessionConfig
from agentfield_rt.run import Context, Run
from agentfield_rt.voice.link import ExecutionRequest
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec
from tests.recovery.process import RUN, SESSION, Process, settle
from tests.recovery.stage import Line, Stories
from tests.virtual_time import time_passes
from tests.voice.call import Function, Listener, handler_of, speaks

STORIES = Stories()
REFUND = "desk.refund"


def approver(p: Process, decision: ApprovalDecision | None) -> Any:
    """Answers so, and is noted down as having been asked."""

    async def answer(question: Question) -> ApprovalDecision | None:
        p.faults.require_life()
        p.world.asked[question.approval_id] += 1
        return decision

    return answer


def sink(p: Process, *answers: SinkError | None) -> CallableSink:
    """Takes what it gets, or does as it is told, one answer for each parcel."""
    left = list(answers)

    async def take(parcel: Parcel) -> str | None:
        p.faults.require_life()
        error = left.pop(0) if left else None
        if error is None or not error.not_done:
            p.world.delivered[parcel.dedupe_key] += 1
        if error is not None:
            raise error
        return "taken"

    return CallableSink("crm", take)


@STORIES.add
async def questions_and_answers(p: Process) -> None:
    line = await Line.connected(p)
    approvals = Approvals(line.run, p.world.content, session_id=SESSION)

    async def ask(rule: ApprovalRule, op_id: str) -> None:
        approval = await approvals.request(ApprovalSubject.TOOL, rule, op_id=op_id, detail="{}")
        p.tell(approval.closer.kind if approval.closer else "none", approval.id)

    await ask(ApprovalRule(REFUND, approver=approver(p, ApprovalDecision.APPROVED)), "call_1")
    await ask(ApprovalRule("desk.other", expires_after_s=2.0), "call_2")
    asking = p.start(ask(ApprovalRule(REFUND, approver=approver(p, None)), "call_3"))
    await settle()
    (question,) = approvals.pending
    await approvals.decide(question.approval_id, ApprovalDecision.APPROVED_FOR_SESSION)
    p.tell("approval_granted", question.approval_id)
    await asking
    await ask(ApprovalRule(REFUND), "call_4")  # stands for the session
    p.start(ask(ApprovalRule("desk.third"), "call_5"))
    await settle()
    await approvals.close()
    await line.end()


@STORIES.add
async def output_is_delivered(p: Process) -> None:
    line = await Line.connected(p)
    deliveries = Deliveries(line.run, p.world.content, session_id=SESSION)
    not_done = SinkError("refused", reason=Reason.RATE_LIMITED, not_done=True)
    doubt = SinkError("no answer", reason=Reason.CONNECTION_LOST, not_done=False)
    crm, where = sink(p, None, not_done, None, doubt), Destination("case", "case-42")

    async def deliver(version: int) -> str | None:
        output = Output(source_id="turn_1", body=b"{}", version=version)
        outcome = await deliveries.deliver(output, where, crm, required=True)
        if outcome.status is not DeliveryStatus.DEDUPED:
            p.tell(f"output_dispatch_{outcome.status}", outcome.op_id)
        return outcome.op_id

    for version in (1, 1, 2, 2):  # done, then known to be; refused, then tried again
        await deliver(version)
    in_doubt = await deliver(3)
    with contextlib.suppress(RepairNeeded):
        await deliver(3)
    assert in_doubt is not None
    await deliveries.reconcile(in_doubt, Decision.DONE)
    p.tell("output_dispatch_reconciled", in_doubt)
    await deliver(4)
    await deliveries.close()
    await line.end()


class Desk:
    """Runs reasoners as the plane does: what is accepted is durable, and then it runs."""

    def __init__(self, process: Process, run: Run) -> None:
        self._process = process
        self._run = run
        self._total = 0

    async def execute(self, request: ExecutionRequest) -> Any:
        self._total += 1
        op_id = f"exec_{len(self._process.world.providers)}_{self._total}"
        context = Context(session_id=SESSION, turn_id=request.turn_id)
        queued = records.ExecutionQueued(op_id=op_id, target=request.target, input_ref="ref_in")
        self._run.append([queued], context)
        await self._run.durable()
        self._process.faults.require_life()
        self._process.world.ran[op_id] += 1
        await time_passes(0.05)
        self._run.append([records.ExecutionSucceeded(op_id=op_id, result_ref="ref_out")], context)
        return {"done": True}


def call_spec(
    approvals: Iterable[ApprovalRule] = (), rules: Iterable[Rule] = (), history: Iterable[Record] = ()
) -> SessionSpec:
    return SessionSpec(
        session_id=SESSION,
        target="a.voice",
        provider="local",
        transport="websocket",
        config=SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 320}),
        tools={"look_up": "desk.look_up", "refund": REFUND},
        approvals={rule.target: rule for rule in approvals},
        stream_rules=tuple(rules),
        history=tuple(history),
    )


def call_over(
    p: Process, controller: RealtimeSessionController, spec: SessionSpec, function: Function
) -> VoiceSession:
    return VoiceSession(
        spec,
        controller.run,
        controller=controller,
        services=SessionServices(content=p.world.content, executor=Desk(p, controller.run)),
        handler=handler_of(function),
    )


async def begin_call(
    p: Process,
    function: Function,
    *,
    approvals: Iterable[ApprovalRule] = (),
    rules: Iterable[Rule] = (),
) -> VoiceSession:
    run = await Run.open(p.journal, RUN, clock=p.clock)
    controller = RealtimeSessionController(p.adapter, run, session_id=SESSION)
    session = call_over(p, controller, call_spec(approvals, rules), function)
    session.start()
    await session.connect(caller=Listener())
    p.tell("realtime_connected")
    return session


async def end_call(p: Process, session: VoiceSession) -> None:
    await session.close()
    await session.ended()
    p.tell("session_ended")
    run = session._run  # pyright: ignore[reportPrivateUsage]
    await run.seal(records.RunCompleted())
    p.tell("run_completed")
    await run.release()


async def user_says(p: Process, text: str) -> None:
    p.provider.say(SpeechStarted("item_user"))
    await settle()
    p.provider.say(SpeechStopped("item_user"), InputTranscript("item_user", text, final=True))
    await time_passes(1.0)


async def answers(session: RealtimeSession) -> None:
    async for turn in session.turns():
        await session.call("desk.look_up", words=turn.text)
        session.say("it is on its way")


@STORIES.add_with(speaks(audio_ms=200))
async def a_call_with_two_turns(p: Process) -> None:
    session = await begin_call(p, answers)
    await session.hear_audio(bytes(960))
    await user_says(p, "where is my order")
    turn_id = await session.hear_text("and the other one")
    p.tell("turn_started", turn_id)
    await session.hear_audio(bytes(960))
    await time_passes(1.0)
    await end_call(p, session)


@STORIES.add_with(speaks(audio_ms=2_000))
async def a_call_in_which_the_user_cuts_in(p: Process) -> None:
    session = await begin_call(p, answers)
    await user_says(p, "tell me everything")
    p.provider.say(SpeechStarted("item_user"))
    await time_passes(0.5)
    p.provider.say(SpeechStopped("item_user"), InputTranscript("item_user", "stop", final=True))
    await time_passes(0.5)
    p.provider.drop()
    await time_passes(3.0)
    await end_call(p, session)


@STORIES.add_with(speaks(audio_ms=200))
async def a_call_whose_model_uses_tools(p: Process) -> None:
    rule = ApprovalRule(REFUND, approver=approver(p, ApprovalDecision.APPROVED), for_session=False)
    session = await begin_call(p, answers, approvals=[rule])
    p.provider.say(
        ToolCalled("resp_x", "call_1", "look_up", "{}"), ToolCalled("resp_x", "call_2", "refund", "{}")
    )
    await time_passes(1.0)
    p.provider.say(ToolCalled("resp_x", "call_3", "not_on_the_list", "{}"))
    await time_passes(0.5)
    await end_call(p, session)


def _secretive(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    if isinstance(frame, SpeechFrame):
        said = SpeechFrame(
            frame.frame_id, frame.utterance_id, "the word is swordfish and the code is open sesame"
        )
        yield from speaks(audio_ms=200)(said, response_id)


@STORIES.add_with(_secretive)
async def a_call_under_rules(p: Process) -> None:
    words = (Channel.ASSISTANT_TEXT,)
    rules = [
        Rule(id="mask.word", matcher=Literal("swordfish"), action=Mask(), channels=words),
        Rule(
            id="pause.code",
            matcher=Literal("open sesame"),
            action=PauseForApproval(),
            channels=(Channel.REALTIME_TRANSCRIPT,),
        ),
        Rule(id="abort.end", matcher=Literal("code is open"), action=Abort(), channels=words),
    ]
    session = await begin_call(p, answers, rules=rules)
    await user_says(p, "the user says open sesame")
    for question in session.approvals.pending:
        await session.approvals.decide(question.approval_id, ApprovalDecision.APPROVED)
        p.tell("approval_granted", question.approval_id)
    await time_passes(1.0)
    with contextlib.suppress(ContentGone):
        await user_says(p, "goodbye")
    await end_call(p, session)
