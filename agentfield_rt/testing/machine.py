"""A Hypothesis state machine over your adapter: overlapping, failing, lost and cancelled calls in any order.

    class MyAdapterMachine(SessionMachine):
        def make(self) -> Line:
            line = FakeLine()
            return Line(adapter=MyAdapter(line), say=line.say, got=lambda: line.frame_ids)

    TestMyAdapter = MyAdapterMachine.TestCase

Needs Hypothesis (`agentfield-rt[testing]`). The rules are in `session_rules`.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentfield_rt.core.lifecycle import TERMINAL, Phase
from agentfield_rt.core.records import Decision
from agentfield_rt.testing.held_calls import METHODS, Method
from agentfield_rt.testing.memory_provider import MemoryProvider, silent
from agentfield_rt.testing.session_rig import FATES, Fate, Line
from agentfield_rt.testing.session_rules import SessionStage

TURNS = st.sampled_from([0, 1, 2, 3, 30])
WHICH = st.integers(0, 20)
_HELD: list[Method] = ["send", "send", "receive", "receive", "restart"]
_LATE_FATES: list[Fate | str] = [*FATES, "cancel", "cancel", "cancel"]


def _is_open(machine: "SessionMachine") -> bool:
    return machine.stage.controller.state.phase is Phase.OPEN


def _says(machine: "SessionMachine") -> bool:
    return _is_open(machine) and machine.stage.line.say is not None


class SessionMachine(RuleBasedStateMachine):
    """Subclass it and give your adapter in `make`; the class's `TestCase` is the test.

    Every rule does one thing and lets the loop take a few turns, so that calls overlap at every point.
    After every step, and once more when all has come to rest, the promises are checked: the journal tells
    the session's story; no call without its durable intent; one outcome per operation, one fate per frame;
    frames and events in order, once, none lost; nothing acts on a doubt or after the end; the adapter keeps
    the port's rules.

    Attributes:
        stage: The session being driven.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stage = SessionStage(self.make)

    def make(self) -> Line:
        """A new adapter, not connected, and the far end of its line. Called once for each session."""
        provider = MemoryProvider(answer=silent)
        return Line(
            adapter=provider,
            say=provider.say,
            got=lambda: [frame.frame_id for frame in provider.got],
            drop=provider.drop,
        )

    @initialize(connected=st.sampled_from([True, True, True, False]), seed=st.none() | st.integers(0, 2**16))
    def begin(self, connected: bool, seed: int | None) -> None:
        self.stage.loop.reseed(seed)
        if connected:
            self.stage.connect()
            self.stage.settle()

    @rule(turns=TURNS)
    def connect(self, turns: int) -> None:
        self.stage.connect()
        self.stage.turn(turns)

    @rule(which=WHICH, times=st.integers(1, 3), turns=TURNS)
    def send(self, which: int, times: int, turns: int) -> None:
        media = self.stage.line.media
        for number in range(times):
            self.stage.send(media[(which + number) % len(media)])
        self.stage.turn(turns)

    @rule(method=st.sampled_from(_HELD), fate=st.sampled_from(_LATE_FATES), acted=st.booleans(), turns=TURNS)
    def answer_late(self, *, method: Method, fate: Fate | str, acted: bool, turns: int) -> None:
        stage = self.stage
        answer = stage.hold(method, acted=acted and method != "receive")
        match method:
            case "send":
                request = stage.send(stage.line.media[0])
            case "receive":
                request = stage.receive()
            case _:
                request = stage.restart()
        stage.turn(max(turns, 6))  # the call has reached the provider
        if fate in FATES:
            stage.decide(answer, fate)
        else:
            stage.cancel(request)
        stage.turn(turns)

    @precondition(_says)
    @rule(demand=st.integers(1, 3), before=st.integers(0, 8), after=st.integers(0, 3))
    def cancel_a_receive_as_events_come(self, demand: int, before: int, after: int) -> None:
        request = self.stage.receive(demand)
        self.stage.turn(before)
        self.stage.say_notice()
        self.stage.turn(after)
        self.stage.cancel(request)

    @precondition(_is_open)
    @rule(which=WHICH, turns=st.integers(0, 3))
    def restart_overtakes_a_send(self, which: int, turns: int) -> None:
        stage = self.stage
        answer = stage.hold("send")
        stage.send(stage.line.media[which % len(stage.line.media)])
        stage.turn(4)
        stage.faults.hang()
        stage.restart()
        stage.turn(turns)
        stage.decide(answer, "release")
        stage.turn(turns)
        stage.faults.resume()

    @precondition(_is_open)
    @rule(
        before=st.integers(0, 2), during=st.integers(1, 3), after=st.integers(1, 2), turns=st.integers(0, 4)
    )
    def restart_under_traffic(self, *, before: int, during: int, after: int, turns: int) -> None:
        stage = self.stage
        for _ in range(before):
            stage.send(stage.line.media[0])
        stage.turn(turns)
        answer = stage.hold("restart")
        stage.restart()
        stage.settle()
        for _ in range(during):
            stage.send(stage.line.media[-1])
        stage.turn(turns)
        stage.decide(answer, "release")
        stage.turn(turns)
        for _ in range(after):
            stage.send(stage.line.media[-1])
        stage.turn(turns)

    @precondition(_says)
    @rule(turns=TURNS, pieces=st.integers(0, 3))
    def barge_in(self, turns: int, pieces: int) -> None:
        response_id = self.stage.say_response(pieces=pieces, ends=False)
        for _ in range(2):
            self.stage.receive(demand=8)
            self.stage.settle()
        self.stage.interrupt(response_id)
        self.stage.turn(turns)
        self.stage.say_audio(response_id)

    @precondition(_says)
    @rule(pieces=st.integers(0, 3), ends=st.booleans(), turns=TURNS)
    def say(self, pieces: int, ends: bool, turns: int) -> None:
        self.stage.say_response(pieces=pieces, ends=ends)
        self.stage.turn(turns)

    @rule(demand=st.integers(1, 4), turns=TURNS)
    def receive(self, demand: int, turns: int) -> None:
        self.stage.receive(demand)
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.responses)
    @rule(which=WHICH, turns=TURNS)
    def interrupt(self, which: int, turns: int) -> None:
        responses = list(self.stage.controller.state.responses)
        self.stage.interrupt(responses[which % len(responses)])
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def restart(self, turns: int) -> None:
        self.stage.restart()
        self.stage.turn(turns)

    @rule(turns=TURNS, sure=st.integers(0, 2))
    def close(self, turns: int, sure: int) -> None:
        if not sure:  # most of a session's life is before its end
            self.stage.close()
            self.stage.turn(turns)

    @rule(turns=TURNS, sure=st.integers(0, 4))
    def fail(self, turns: int, sure: int) -> None:
        if not sure:
            self.stage.fail()
            self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.unknown)
    @rule(decision=st.sampled_from(Decision), turns=TURNS)
    def reconcile(self, decision: Decision, turns: int) -> None:
        self.stage.reconcile(next(iter(self.stage.controller.state.unknown)), decision)
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.running)
    @rule(which=WHICH, turns=TURNS)
    def cancel(self, which: int, turns: int) -> None:
        running = self.stage.running
        self.stage.cancel(running[which % len(running)])
        self.stage.turn(turns)

    @rule(method=st.sampled_from(METHODS))
    def hold(self, method: Method) -> None:
        self.stage.hold(method)

    @precondition(lambda self: self.stage.undecided)
    @rule(which=WHICH, fate=st.sampled_from(FATES), turns=TURNS)
    def decide(self, which: int, fate: Fate, turns: int) -> None:
        undecided = self.stage.undecided
        self.stage.decide(undecided[which % len(undecided)], fate)
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def drop(self, turns: int) -> None:
        self.stage.drop()
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def stick_or_unstick_the_disk(self, turns: int) -> None:
        self.stage.stick_or_unstick_the_disk()
        self.stage.turn(turns)

    @rule(seconds=st.sampled_from([0.1, 1.5, 6.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    @rule()
    def settle(self) -> None:
        self.stage.settle()

    @invariant()
    def the_promises_hold(self) -> None:
        self.stage.check()
        if self.stage.controller.state.phase in TERMINAL:  # the show goes on with another session
            ended, self.stage = self.stage, SessionStage(self.make)
            _end(ended)
            self.begin(connected=True, seed=None)

    def teardown(self) -> None:
        _end(self.stage)


class FaultySessionMachine(SessionMachine):
    """The same over a journal whose appends and syncs fail now and then."""

    @rule(turns=TURNS)
    def break_the_next_append(self, turns: int) -> None:
        self.stage.break_append()
        self.stage.turn(turns)

    @rule(turns=TURNS, stored=st.booleans())
    def break_the_next_sync(self, turns: int, stored: bool) -> None:
        self.stage.break_durable(stored=stored)
        self.stage.turn(turns)


def _end(stage: SessionStage) -> None:
    try:
        stage.finish()
    finally:
        stage.dispose()
