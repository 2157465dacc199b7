"""A Hypothesis state machine over your handler: what a caller, a provider and your reasoners may do to it.

    class MyHandlerMachine(HandlerMachine):
        def make(self) -> Scene:
            return Scene(my_handler, desk=Desk(look_up=look_up))

    TestMyHandler = MyHandlerMachine.TestCase

Needs Hypothesis (`agentfield-rt[testing]`). What must hold of any call is in `call_rules`.
"""

from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentfield_journal import JournalError
from agentfield_rt.core import records
from agentfield_rt.core.records import ApprovalDecision
from agentfield_rt.errors import Reason
from agentfield_rt.testing.call_rules import CallStage
from agentfield_rt.testing.fault_journal import Where
from agentfield_rt.testing.held_calls import Hold, Method
from agentfield_rt.testing.scene import Scene
from agentfield_rt.testing.session_rig import Fate

TURNS = st.sampled_from([0, 1, 2, 3, 5, 100])
_SLOW: list[Method] = ["send", "send", "interrupt", "restart", "receive"]
_FATES: list[Fate] = ["release", "release", "late", "fail", "doubt", "lose", "lose before it acts", "drop"]
_DAY_S = 86_400


class HandlerMachine(RuleBasedStateMachine):
    """Subclass it and say in `make` what your handler needs; the class's `TestCase` is the test.

    Every rule does one thing and lets the loop take a few turns, so that all of it overlaps: the caller
    talks, types, talks over the agent and hangs up; reasoners are slow or fail; the provider is slow,
    refuses or drops the connection; people approve, or not; the clock jumps.

    After every step and at the end every promise of the runtime is checked, and of the handler: it raises
    nothing, when it is quiet again no turn waits for an answer, and it stops when its call is over. Add
    promises of your own as `@invariant()`s: `self.stage.session.said` is what it said.

    Attributes:
        stage: The call that is under way.
        texts: What the caller says; without words it was not understood.
        may_raise: Errors of the handler that are no bug: its turn fails, and the caller hears the apology.
        answers_within_s: How long a turn may take once nothing is slow; None: it may take for ever.
    """

    texts: st.SearchStrategy[str] = st.sampled_from(["", "hello", "yes", "no", "two tickets please"])
    may_raise: ClassVar[tuple[type[BaseException], ...]] = ()
    answers_within_s: ClassVar[int | None] = 60

    def __init__(self) -> None:
        super().__init__()
        self.stage = CallStage()
        self._speaks = False

    def make(self) -> Scene:
        """A scene with your handler. Called once for each call."""
        raise NotImplementedError("say in `make` which handler is tested")

    @initialize(turns=TURNS)
    def begin(self, turns: int) -> None:
        self.stage.dispose()
        self.stage = CallStage(self.make())
        self.stage.connect()
        self.stage.turn(turns)

    # The caller.

    @rule(turns=TURNS)
    def caller_starts_to_speak(self, turns: int) -> None:
        self._speaks = True
        self.stage.user_starts()
        self.stage.turn(turns)

    @rule(data=st.data(), turns=TURNS)
    def caller_has_spoken(self, data: st.DataObject, turns: int) -> None:
        self._speaks = False
        self.stage.user_stops(data.draw(self.texts, label="text"))
        self.stage.turn(turns)

    @rule(data=st.data(), turns=TURNS)
    def caller_types(self, data: st.DataObject, turns: int) -> None:
        self.stage.user_types(data.draw(self.texts, label="text"))
        self.stage.turn(turns)

    @rule(frames=st.integers(1, 4), turns=TURNS)
    def caller_is_heard(self, frames: int, turns: int) -> None:
        for _ in range(frames):
            self.stage.user_is_heard()
        self.stage.turn(turns)

    @rule(rarely=st.integers(0, 7), turns=TURNS)
    def caller_hangs_up(self, rarely: int, turns: int) -> None:
        if not rarely:
            self.stage.hang_up()
            self.stage.turn(turns)

    # The provider.

    @rule(cleared=st.booleans(), turns=TURNS)
    def playback_is_reported(self, cleared: bool, turns: int) -> None:
        self.stage.playback_ends(cleared=cleared)
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def connection_is_lost(self, turns: int) -> None:
        self.stage.drop()
        self.stage.turn(turns)

    @rule(method=st.sampled_from(_SLOW), turns=TURNS)
    def provider_is_slow(self, method: Method, turns: int) -> None:
        self.stage.hold(method)
        self.stage.turn(turns)

    @precondition(lambda self: self._undecided())
    @rule(fate=st.sampled_from(_FATES), turns=TURNS)
    def provider_answers(self, fate: Fate, turns: int) -> None:
        _answer(self._undecided()[0], fate)
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.scene.tools)
    @rule(which=st.integers(0, 20), times=st.integers(1, 2), turns=TURNS)
    def model_calls_a_tool(self, which: int, times: int, turns: int) -> None:
        names = [*self.stage.scene.tools, "no_such_tool"]
        self.stage.model_calls(names[which % len(names)], times=times)
        self.stage.turn(turns)

    # Reasoners, people who decide, and time.

    @rule(seconds=st.sampled_from([0.5, 3.0]), reason=st.sampled_from([None, Reason.TIMEOUT]), turns=TURNS)
    def reasoner_is_slow(self, seconds: float, reason: Reason | None, turns: int) -> None:
        self.stage.scene.desk.trouble(reason, after_s=seconds)
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def reasoner_fails(self, turns: int) -> None:
        self.stage.scene.desk.trouble(Reason.INTERNAL)
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.session.approvals.pending)
    @rule(decision=st.sampled_from(ApprovalDecision), turns=TURNS)
    def somebody_decides(self, decision: ApprovalDecision, turns: int) -> None:
        self.stage.decide(decision)
        self.stage.turn(turns)

    @rule(seconds=st.sampled_from([0.02, 0.1, 0.5, 2.5, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    @rule(ahead_s=st.sampled_from([-_DAY_S, -1, 1, _DAY_S]))
    def clock_jumps(self, ahead_s: int) -> None:
        self.stage.clock_ahead_ns += ahead_s * 1_000_000_000

    @rule(rarely=st.integers(0, 9), turns=TURNS)
    def call_is_closed(self, rarely: int, turns: int) -> None:
        if not rarely:
            self.stage.close()
            self.stage.turn(turns)

    # What must hold.

    @invariant()
    def the_promises_hold(self) -> None:
        self.stage.check()
        expected = (*self.may_raise, *((JournalError,) if self.stage.journal_broke else ()))
        for error in self.stage.raised:
            self.stage.require(isinstance(error, expected), f"the handler raised {error!r}")

    def teardown(self) -> None:
        try:
            if self.answers_within_s is not None:
                self._come_to_rest(self.answers_within_s)
            self.stage.finish()
            self.the_promises_hold()
        finally:
            self.stage.dispose()

    def _come_to_rest(self, within_s: int) -> None:
        """Nothing is slow any more, nobody speaks, and every question is answered: so are the turns then."""
        stage = self.stage
        stage.release()
        if self._speaks:
            stage.user_stops("")
        for _ in range(within_s):
            stage.decide(ApprovalDecision.DENIED)
            if stage.scene.transport == "webrtc":
                stage.playback_ends()
            stage.pass_time(1.0)
            self.the_promises_hold()
            if not self._unanswered():
                return
        if not stage.session.is_over:
            stage.require(False, f"{self._unanswered()} turns are not answered after {within_s} s")

    def _unanswered(self) -> int:
        ended = {record.op_id for record in self.stage.of_kind(records.TurnCompleted, records.TurnFailed)}
        return sum(turn.op_id not in ended for turn in self.stage.of_kind(records.TurnStarted))

    def _undecided(self) -> list[Hold]:
        return [hold for hold in self.stage.holds if not hold.decided]


class FaultyHandlerMachine(HandlerMachine):
    """The same over a journal whose appends and syncs fail now and then."""

    @rule(where=st.sampled_from(["append", "append", "durable"]), nth=st.integers(1, 4), turns=TURNS)
    def journal_fails(self, where: Where, nth: int, turns: int) -> None:
        self.stage.journal_broke = True
        self.stage.journal.faults.fail(where, nth=nth)
        self.stage.turn(turns)


def _answer(hold: Hold, fate: Fate) -> None:
    if hold.method == "receive" and fate != "release":
        fate = "drop"  # a provider that is heard no more is a lost connection
    match fate:
        case "release":
            hold.release()
        case "late":
            hold.release(after_s=3.0)
        case "fail":
            hold.fail()
        case "doubt":
            hold.doubt()
        case "lose":
            hold.lose()
        case "lose before it acts":
            hold.lose(acted=False)
        case "drop":
            hold.drop()
