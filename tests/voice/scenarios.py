"""What happens in a call, one thing at a time, for the tests that break it at every turn of the loop."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agentfield_rt.agent import RealtimeSession, UtteranceHandle
from agentfield_rt.core.records import ApprovalDecision
from agentfield_rt.core.records.rules import Channel
from agentfield_rt.core.rules.rule import Abort, Inject, Literal, PauseForApproval, Rule
from agentfield_rt.deliveries import CallableSink, Destination, Output, Parcel
from agentfield_rt.frames import FRAME_BYTES
from agentfield_rt.testing.call_rig import Asked
from agentfield_rt.testing.call_rules import CallStage
from agentfield_rt.testing.scene import Scene
from tests.virtual_time import time_passes
from tests.voice.call import speaks
from tests.voice.scene import broken, converses, scene
from tests.voice.throws import Thrown, Throws

PAUSES = Rule(
    id="the.pause",
    matcher=Literal("secret"),
    action=PauseForApproval(expires_after_s=5.0),
    channels=(Channel.ASSISTANT_TEXT, Channel.REALTIME_TRANSCRIPT),
)
ABORTS = Rule(id="the.abort", matcher=Literal("stop"), action=Abort(), channels=(Channel.ASSISTANT_TEXT,))
INJECTS = Rule(
    id="the.injection",
    matcher=Literal("hello"),
    action=Inject("be kind"),
    channels=(Channel.REALTIME_TRANSCRIPT,),
)

OUTPUT, PLACE = Output(source_id="turn_1", body=b"{}"), Destination("crm", "case-42")

Play = Callable[[CallStage], Asked]


@dataclass(frozen=True)
class Scenario:
    """Something that happens in a call.

    Attributes:
        play: Begins it and returns what somebody waits for.
        connects: The call is connected before it.
    """

    play: Play
    scene: Callable[[], Scene] = field(default=scene)
    connects: bool = True

    @property
    def name(self) -> str:
        return self.play.__name__

    def begin(self, throws: Throws | None = None) -> tuple[CallStage, Asked]:
        """The scenario just begun; its handler breaks where `throws` says."""
        made = self.scene()
        if throws is not None and made.function is not None:
            made.function = broken(made.function, throws)
        stage = CallStage(made)
        stage.may_raise = (Thrown,)
        if self.connects:
            stage.connected()
        return stage, self.play(stage)


async def _takes(_: Parcel) -> str:
    await time_passes(0)
    return "taken"


def sink(send: Callable[[Parcel], Awaitable[str | None]] = _takes) -> CallableSink:
    return CallableSink("crm", send)


async def _until(holds: Callable[[], object], *, seconds: float = 3.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if holds():
            return
        await time_passes(0.02)


async def _answers_a_question(stage: CallStage, decision: ApprovalDecision) -> None:
    """A person who looks at what is asked, and decides."""
    await _until(lambda: stage.session.approvals.pending)
    if pending := stage.session.approvals.pending:
        await stage.session.approvals.decide(pending[0].approval_id, decision)


def connects(stage: CallStage) -> Asked:
    return stage.connect()


def hears_audio(stage: CallStage) -> Asked:
    return stage.ask("audio", stage.session.hear_audio(bytes(FRAME_BYTES)))


def is_typed_to(stage: CallStage) -> Asked:
    return stage.ask("text", stage.session.hear_text("hello"))


def is_typed_to_under_a_pause(stage: CallStage) -> Asked:
    typing = stage.ask("text", stage.session.hear_text("a secret"))
    stage.ask("decide", _answers_a_question(stage, ApprovalDecision.APPROVED))
    return typing


def is_spoken_to_under_a_pause(stage: CallStage) -> Asked:
    stage.user_starts()
    stage.user_stops("a secret")
    return stage.ask("decide", _answers_a_question(stage, ApprovalDecision.DENIED))


def waits_for_a_turn(stage: CallStage) -> Asked:
    waiting = stage.ask("turn", stage.session.next_turn())
    stage.user_starts()
    stage.user_stops()
    return waiting


def says_something(stage: CallStage) -> Asked:
    return stage.say()


def says_what_a_rule_stops(stage: CallStage) -> Asked:
    stage.say("please stop there")
    return stage.say("another thing")


def says_what_a_rule_holds(stage: CallStage) -> Asked:
    saying = stage.say("a secret it is")
    stage.ask("decide", _answers_a_question(stage, ApprovalDecision.APPROVED))
    return saying


def calls_a_reasoner(stage: CallStage) -> Asked:
    return stage.ask("call", stage.session.call("node.look_up", {}))


def interrupts(stage: CallStage) -> Asked:
    stage.say("a long story that goes on")
    stage.say("and on")
    for _ in range(12):
        stage.advance()
    return stage.ask("interrupt", stage.session.interrupt())


def is_interrupted(stage: CallStage) -> Asked:
    saying = stage.say("a long story that goes on")
    for _ in range(12):
        stage.advance()
    stage.user_starts()
    return saying


def delivers(stage: CallStage) -> Asked:
    return stage.ask("delivery", stage.session.deliveries.deliver(OUTPUT, PLACE, sink()))


def lets_the_model_call_a_tool(stage: CallStage) -> Asked:
    sent = len(stage.provider.got)
    stage.model_calls()
    return stage.ask("answer", _until(lambda: len(stage.provider.got) > sent))


def lets_somebody_approve_a_tool(stage: CallStage) -> Asked:
    stage.model_calls("pay")
    return stage.ask("decide", _answers_a_question(stage, ApprovalDecision.APPROVED))


def refuses_a_tool(stage: CallStage) -> Asked:
    sent = len(stage.provider.got)
    stage.model_calls("format_disk")
    return stage.ask("answer", _until(lambda: len(stage.provider.got) > sent))


def reconnects(stage: CallStage) -> Asked:
    stage.say("a long story that goes on")
    stage.ask("audio", stage.session.hear_audio(bytes(FRAME_BYTES)))
    for _ in range(12):
        stage.advance()
    stage.drop()
    stage.ask("more audio", stage.session.hear_audio(bytes(FRAME_BYTES)))
    return stage.ask("reconnected", _until(lambda: stage.session.phase == "open" and stage.session.said))


def closes(stage: CallStage) -> Asked:
    stage.say()
    stage.user_starts()
    stage.user_stops()
    stage.model_calls()
    return stage.close()


def closes_while_it_connects(stage: CallStage) -> Asked:
    stage.connect()
    stage.turn(2)
    return stage.close()


def talks(stage: CallStage) -> Asked:
    """The user speaks, the handler calls a reasoner and says what it found."""
    stage.user_starts()
    stage.user_stops()
    return stage.ask(
        "talk", _until(lambda: any(utterance.final.is_set() for utterance in stage.session.said))
    )


async def does_everything(session: RealtimeSession) -> None:
    """Every await of the surface that a handler has."""
    turn = await session.input()
    await session.call("node.look_up", text=turn.text)
    await session.deliver(Output(source_id=turn.id, body=b"{}"), PLACE, sink())
    said: UtteranceHandle = session.say("one two")
    await said
    session.reply("be brief")
    await session.interrupt()
    async for _ in session.turns():
        await session.say("again")


def uses_everything(stage: CallStage) -> Asked:
    stage.user_starts()
    stage.user_stops()
    return stage.ask("talk", _talks_again(stage))


async def _talks_again(stage: CallStage) -> None:
    await _until(lambda: len(stage.session.said) > 1)
    await stage.session.hear_text("once more")
    await _until(lambda: stage.session.said and stage.session.said[-1].final.is_set(), seconds=1)


def _ruled(*rules: Rule, function: Callable[[RealtimeSession], Awaitable[None]] | None = None) -> Scene:
    return scene(rules=rules, function=function)


SCENARIOS = [
    Scenario(connects, lambda: scene(converses), connects=False),
    Scenario(hears_audio),
    Scenario(is_typed_to, lambda: _ruled(INJECTS, function=converses)),
    Scenario(is_typed_to_under_a_pause, lambda: _ruled(PAUSES)),
    Scenario(is_spoken_to_under_a_pause, lambda: _ruled(PAUSES)),
    Scenario(waits_for_a_turn),
    Scenario(says_something),
    Scenario(says_what_a_rule_stops, lambda: _ruled(ABORTS)),
    Scenario(says_what_a_rule_holds, lambda: _ruled(PAUSES)),
    Scenario(calls_a_reasoner),
    Scenario(interrupts, lambda: scene(answer=speaks(audio_ms=1_000))),
    Scenario(is_interrupted, lambda: scene(answer=speaks(audio_ms=1_000))),
    Scenario(delivers),
    Scenario(lets_the_model_call_a_tool),
    Scenario(lets_somebody_approve_a_tool),
    Scenario(refuses_a_tool),
    Scenario(reconnects),
    Scenario(closes, lambda: scene(converses)),
    Scenario(closes_while_it_connects, lambda: scene(converses), connects=False),
    Scenario(talks, lambda: scene(converses)),
    Scenario(uses_everything, lambda: scene(does_everything)),
]
