"""A call whose provider's sessions come to their end, in any order with everything else that may happen."""

# pyright: reportPrivateUsage=false

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from agentfield_rt.core import records
from agentfield_rt.errors import Reason
from agentfield_rt.frames import ConnectionExpiring, Usage, UsageReported
from agentfield_rt.testing.handler_machine import TURNS
from agentfield_rt.voice.meter import total
from tests.voice.machine import VoiceMachine

PNG = b"\x89PNG\r\n\x1a\n"


class AgeingVoiceMachine(VoiceMachine):
    """Connections near their end, pictures, turns by hand and costs, besides all that a call is anyway."""

    def __init__(self) -> None:
        super().__init__()
        self._expired: set[int] = set()

    @rule(turns=TURNS)
    def connection_nears_its_end(self, turns: int) -> None:
        self._expired.add(self.stage.session._controller.state.generation)
        self.stage.give(ConnectionExpiring(300.0))
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def caller_shows_a_picture(self, turns: int) -> None:
        self.stage.ask("show", self.stage.session.inputs.show(PNG))
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def caller_ends_a_turn_by_hand(self, turns: int) -> None:
        self.stage.ask("end turn", self.stage.session.inputs.end_turn())
        self.stage.turn(turns)

    @rule(tokens=st.integers(1, 9), turns=TURNS)
    def provider_says_what_it_cost(self, tokens: int, turns: int) -> None:
        self.stage.give(UsageReported(Usage(input_tokens=tokens)))
        self.stage.turn(turns)

    @invariant()
    def what_was_written_is_what_is_told(self) -> None:
        written = self.stage.records()
        costs = [record for record in written if isinstance(record, records.UsageRecorded)]
        if not self.stage.journal_broke:
            self.stage.require(total(costs) == self.stage.session.meter.usage, "costs differ from their sum")
        generation = 0
        for record in written:
            if isinstance(record, records.RestartRequested) and record.reason is Reason.SESSION_EXPIRED:
                is_due = generation in self._expired
                self.stage.require(is_due, "a connection was replaced that was not near its end")
            generation += isinstance(record, records.RestartStarted)

    @invariant()
    def nobody_is_cut_short_by_a_connection_that_works(self) -> None:
        """A planned replacement finds nothing being said."""
        speaking: set[str] = set()
        for record in self.stage.records():
            match record:
                case records.UtteranceStarted(utterance_id=op_id):
                    speaking.add(op_id)
                case (
                    records.UtterancePlayed(op_id=op_id)
                    | records.UtteranceInterrupted(op_id=op_id)
                    | records.UtteranceFailed(op_id=op_id)
                    | records.UtteranceSkipped(op_id=op_id)
                ):
                    speaking.discard(op_id)
                case records.RestartRequested(reason=Reason.SESSION_EXPIRED):
                    self.stage.require(not speaking, f"{speaking} was cut short by a planned replacement")
                case _:
                    pass


TestAgeingVoice = AgeingVoiceMachine.TestCase
TestAgeingVoice.settings = settings(max_examples=40, stateful_step_count=40)
