"""Phone calls that are handed on while everything else happens to them, too."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from agentfield_rt.core.lifecycle import Phase
from tests.controller.machine import TURNS, VERDICTS, ControllerMachine


class ReferringMachine(ControllerMachine):
    """As its base, over an adapter with telephones."""

    @rule(times=st.integers(1, 2), turns=TURNS)
    def refer(self, times: int, turns: int) -> None:
        for _ in range(times):
            self.stage.refer()
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.controller.state.phase is Phase.OPEN)
    @rule(verdict=st.sampled_from([*VERDICTS, "cancel"]), again=st.booleans(), turns=TURNS)
    def hand_on_slowly(self, verdict: str, again: bool, turns: int) -> None:
        stage = self.stage
        stage.hold("refer")
        answer = stage.holds[-1]
        request = stage.refer()
        stage.turn(max(turns, 6))  # the call has reached the provider
        if again:
            stage.refer()
        if verdict == "cancel":
            stage.cancel(request)
        else:
            stage.decide(answer, verdict)
        stage.turn(turns)
        if again:
            stage.refer()
            stage.turn(turns)
