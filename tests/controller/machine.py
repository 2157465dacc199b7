"""Overlapping, failing, lost and cancelled calls in any order: Hypothesis looks for a broken rule."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentfield_adapters.scripted import Method
from agentfield_rt.controller import EACH
from agentfield_rt.core.lifecycle import TERMINAL, Phase
from agentfield_rt.core.records import Decision, GatePolicy, Limits
from agentfield_rt.core.records.realtime import DEFAULT_LIMITS
from agentfield_rt.frames import Media
from tests.controller.stage import SMALL, Stage

TURNS = st.sampled_from([0, 1, 2, 3, 30])
METHODS: list[Method] = ["connect", "send", "receive", "interrupt", "restart", "close"]
HELD: list[Method] = ["send", "send", "receive", "restart"]
VERDICTS = ["release", "refuse", "doubt", "lose", "lose before it acts"]


class ControllerMachine(RuleBasedStateMachine):
    """Every rule does one thing and lets the loop take a few turns, so that calls overlap at every point.

    Attributes:
        steps_total, overlapping_total: Of all that ran; in how many of them several calls were under way.
    """

    windows = EACH
    steps_total = 0
    overlapping_total = 0

    def __init__(self) -> None:
        super().__init__()
        self.limits = DEFAULT_LIMITS
        self.stage = Stage(windows=self.windows)

    @initialize(connected=st.sampled_from([True, True, True, False]), policy=st.sampled_from(GatePolicy))
    def begin(self, connected: bool, policy: GatePolicy) -> None:
        self.stage.dispose()
        self.limits = Limits(policy=policy, high_water=4, low_water=2, restarts_max=6)
        self._start(connected)

    def _start(self, connected: bool) -> None:
        self.stage = Stage(windows=self.windows, limits=self.limits)
        if connected:
            self.stage.connect()
            self.stage.settle()

    @rule(turns=TURNS)
    def connect(self, turns: int) -> None:
        self.stage.connect()
        self.stage.turn(turns)

    @rule(media=st.sampled_from([Media.AUDIO, Media.TEXT]), times=st.integers(1, 3), turns=TURNS)
    def send(self, media: Media, times: int, turns: int) -> None:
        for _ in range(times):
            self.stage.send(media)
        self.stage.turn(turns)

    @rule(
        method=st.sampled_from(HELD),
        verdict=st.sampled_from([*VERDICTS, "cancel", "cancel", "cancel"]),
        turns=TURNS,
    )
    def answer_late(self, method: Method, verdict: str, turns: int) -> None:
        stage = self.stage
        stage.hold(method)
        answer = stage.holds[-1]
        match method:
            case "send":
                request = stage.send(Media.TEXT)
            case "receive":
                request = stage.receive()
            case _:
                request = stage.restart()
        stage.turn(max(turns, 6))  # the call has reached the provider
        if verdict == "cancel":
            stage.cancel(request)
        else:
            stage.decide(answer, verdict)
        stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(media=st.sampled_from([Media.AUDIO, Media.TEXT]), turns=st.integers(0, 3))
    def restart_overtakes_a_send(self, media: Media, turns: int) -> None:
        stage = self.stage
        stage.send(media)
        stage.settle()
        stage.hold("send")
        answer = stage.holds[-1]
        stage.send(media)
        stage.turn(4)
        stage.writer.stick()
        stage.restart()
        stage.turn(turns)
        stage.decide(answer, "release")
        stage.turn(turns)
        stage.writer.unstick()

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(turns=TURNS, pieces=st.integers(0, 3))
    def barge_in(self, turns: int, pieces: int) -> None:
        response_id = self.stage.give_response(pieces=pieces, ends=False)
        self.stage.receive(demand=8)
        self.stage.settle()
        self.stage.receive(demand=8)
        self.stage.interrupt(response_id)
        self.stage.turn(turns)
        self.stage.give(self.stage.audio(response_id))

    @rule(demand=st.integers(1, 4), turns=TURNS)
    def receive(self, demand: int, turns: int) -> None:
        self.stage.receive(demand)
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.responses)
    @rule(which=st.integers(0, 20), turns=TURNS)
    def interrupt(self, which: int, turns: int) -> None:
        responses = list(self.stage.controller.state.responses)
        self.stage.interrupt(responses[which % len(responses)])
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def restart(self, turns: int) -> None:
        self.stage.restart()
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(
        before=st.integers(0, 2), during=st.integers(1, 3), after=st.integers(1, 2), turns=st.integers(0, 4)
    )
    def restart_under_traffic(self, before: int, during: int, after: int, turns: int) -> None:
        for _ in range(before):
            self.stage.send(Media.TEXT)
        self.stage.turn(turns)
        self.stage.hold("restart")
        answer = self.stage.holds[-1]
        self.stage.restart()
        self.stage.settle()
        for _ in range(during):
            self.stage.send()
        self.stage.turn(turns)
        self.stage.decide(answer, "release")
        self.stage.turn(turns)
        for _ in range(after):
            self.stage.send()
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(media=st.lists(st.sampled_from([Media.AUDIO, Media.TEXT]), min_size=4, max_size=6), turns=TURNS)
    def fill_the_gate(self, media: list[Media], turns: int) -> None:
        self.stage.hold("restart")
        answer = self.stage.holds[-1]
        self.stage.restart()
        self.stage.settle()
        for kind in media:
            self.stage.send(kind)
        self.stage.settle()
        self.stage.decide(answer, "release")
        self.stage.turn(turns)
        self.stage.send()
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(turns=TURNS)
    def doubt_a_text_while_audio_flows(self, turns: int) -> None:
        self.stage.send()
        self.stage.settle()
        self.stage.hold("send")
        answer = self.stage.holds[-1]
        self.stage.send(Media.TEXT)
        self.stage.settle()
        self.stage.decide(answer, "doubt")
        self.stage.turn(turns)
        self.stage.send()
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(ends=st.sampled_from(["fail", "close", "restart"]), sure=st.integers(0, 2), turns=TURNS)
    def end_while_media_flow(self, ends: str, sure: int, turns: int) -> None:
        stage = self.stage
        stage.send()
        stage.receive()
        stage.settle()
        stage.hold("send")
        answer = stage.holds[-1]
        stage.send()
        stage.turn(turns)
        stage.give(stage.notice())
        if ends == "restart" or sure:
            stage.restart()
        elif ends == "close":
            stage.close()
        else:
            stage.fail()
        stage.decide(answer, "release")
        stage.turn(turns)

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
    @rule(which=st.integers(0, 20), turns=TURNS)
    def cancel(self, which: int, turns: int) -> None:
        running = self.stage.running
        self.stage.cancel(running[which % len(running)])
        self.stage.turn(turns)

    @rule(method=st.sampled_from(METHODS))
    def hold(self, method: Method) -> None:
        self.stage.hold(method)

    @precondition(lambda self: self.stage.undecided)
    @rule(which=st.integers(0, 20), verdict=st.sampled_from(VERDICTS), turns=TURNS)
    def decide(self, which: int, verdict: str, turns: int) -> None:
        undecided = self.stage.undecided
        self.stage.decide(undecided[which % len(undecided)], verdict)
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(pieces=st.integers(0, 3), ends=st.booleans(), turns=TURNS)
    def give(self, pieces: int, ends: bool, turns: int) -> None:
        self.stage.give_response(pieces=pieces, ends=ends)
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def drop(self, turns: int) -> None:
        self.stage.drop()
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def stick_or_unstick_the_disk(self, turns: int) -> None:
        if self.stage.writer.disk_is_stuck:
            self.stage.writer.unstick()
        else:
            self.stage.writer.stick()
        self.stage.turn(turns)

    @rule(seconds=st.sampled_from([0.1, 1.5, 6.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    @rule()
    def settle(self) -> None:
        self.stage.settle()

    @invariant()
    def the_rules_hold(self) -> None:
        type(self).steps_total += 1
        type(self).overlapping_total += len(self.stage.running) > 1
        self.stage.check()
        if self.stage.controller.state.phase in TERMINAL:  # the show goes on with another session
            ended = self.stage
            self._start(connected=True)
            _end(ended)

    def teardown(self) -> None:
        _end(self.stage)


def _end(stage: Stage) -> None:
    try:
        stage.finish()
    finally:
        stage.dispose()


class WindowMachine(ControllerMachine):
    """The same, with audio and events in windows so small that they roll all the time."""

    windows = SMALL


class BrokenJournalMachine(ControllerMachine):
    """The same, over a journal whose appends and syncs fail now and then."""

    @rule(turns=TURNS)
    def break_the_next_append(self, turns: int) -> None:
        self.stage.break_append()
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def break_the_next_sync(self, turns: int) -> None:
        self.stage.break_durable()
        self.stage.turn(turns)

    @rule(times=st.integers(1, 4), turns=TURNS, sure=st.integers(0, 2))
    def close_over_a_full_journal(self, times: int, turns: int, sure: int) -> None:
        if not sure:
            for _ in range(times):
                self.stage.break_append()
            self.stage.close()
            self.stage.turn(turns)
            self.stage.close()
            self.stage.turn(turns)


class BrokenJournalWindowMachine(BrokenJournalMachine):
    windows = WindowMachine.windows
