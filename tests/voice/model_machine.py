"""A call that the model answers by itself, in any order: Hypothesis looks for a turn that is never over."""

# pyright: reportPrivateUsage=false

from collections.abc import Iterable
from typing import ClassVar, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from agentfield_rt.core import records
from agentfield_rt.core.conversation import Owed
from agentfield_rt.core.records import TurnSource
from agentfield_rt.frames import (
    FRAME_BYTES,
    InputFrame,
    InputTranscript,
    OutputAudio,
    OutputTranscript,
    PlaybackStarted,
    PlaybackStopped,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStopped,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
)
from agentfield_rt.testing.handler_machine import TURNS, FaultyHandlerMachine, HandlerMachine
from agentfield_rt.testing.scene import Desk, Scene
from tests.voice.scene import TOOLS, look_up

Transport = Literal["websocket", "webrtc"]
WORDS = ("well ", "it ", "is ", "so ")
STATUSES = st.sampled_from([ResponseStatus.COMPLETED, ResponseStatus.COMPLETED, ResponseStatus.FAILED])


def says(response_id: str, utterance_id: str | None = None, *, plays: bool) -> Iterable[ProviderEvent]:
    """A response from its start to its last word."""
    yield ResponseStarted(response_id, utterance_id)
    for word in WORDS:
        yield OutputTranscript(response_id, f"item_{response_id}", word)
        if not plays:
            yield OutputAudio(response_id, f"item_{response_id}", bytes(FRAME_BYTES))
    if plays:
        yield PlaybackStarted(response_id)


class ModelMachine(HandlerMachine):
    """The provider answers what it hears; nobody has written a handler."""

    transport: Transport = "websocket"

    def make(self) -> Scene:
        self._asked = 0
        self._speaking: list[str] = []
        self._heard: list[str] = []
        return Scene(
            desk=Desk(look_up=look_up, pay=look_up),
            tools=TOOLS,
            transport=self.transport,
            answer=self._answer,
            model_answers=True,
        )

    @initialize(turns=TURNS, transport=st.sampled_from(["websocket", "webrtc"]))
    def begin(self, turns: int, transport: Transport = "websocket") -> None:
        self.transport = transport
        super().begin(turns)

    @property
    def _plays(self) -> bool:
        return self.transport == "webrtc"

    def _answer(self, frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        """What was typed is answered when that is asked for, what is owed and what tools return at once."""
        utterance_id: str | None
        match frame:
            case SpeechFrame():
                utterance_id = frame.utterance_id
            case TextFrame("owed") | ToolResultFrame():
                utterance_id = None
            case _:
                return
        self._heard += [response_id] * self._plays
        yield from says(response_id, utterance_id, plays=self._plays)
        yield ResponseEnded(response_id, ResponseStatus.COMPLETED)

    def _begins(self) -> str:
        self._asked += 1
        response_id = f"own_{self._asked}"
        self._speaking.append(response_id)
        self._heard += [response_id] * self._plays
        self.stage.give(*says(response_id, plays=self._plays))
        return response_id

    @rule(words=st.sampled_from(["", "what is it", "go on"]), late=st.booleans(), turns=TURNS)
    def caller_is_answered(self, words: str, late: bool, turns: int) -> None:
        """The words of a turn may come when the model answers it already."""
        self._speaks = False
        self.stage.give(SpeechStopped("item_user"))
        if not late:
            self.stage.give(InputTranscript("item_user", words, final=True))
        self.stage.turn(turns)
        self._begins()
        self.stage.turn(turns)
        if late:
            self.stage.give(InputTranscript("item_user", words, final=True))

    @rule(status=st.sampled_from(ResponseStatus), calls=st.booleans(), turns=TURNS)
    def caller_is_answered_without_a_word(self, status: ResponseStatus, calls: bool, turns: int) -> None:
        """Nobody reports that such an answer was heard."""
        self._speaks = False
        self._asked += 1
        response_id = f"mute_{self._asked}"
        self.stage.give(SpeechStopped("item_user"), InputTranscript("item_user", "and", final=True))
        self.stage.give(ResponseStarted(response_id))
        if calls:
            self.stage.give(ToolCalled(response_id, f"own_call_{self._asked}", "look_up", "{}"))
        self.stage.give(ResponseEnded(response_id, status))
        self.stage.turn(turns)

    @precondition(lambda self: self._speaking)
    @rule(which=st.integers(0, 9), status=STATUSES, turns=TURNS)
    def answer_ends(self, which: int, status: ResponseStatus, turns: int) -> None:
        response_id = self._speaking.pop(which % len(self._speaking))
        self.stage.give(ResponseEnded(response_id, status))
        self.stage.turn(turns)

    @precondition(lambda self: self._speaking)
    @rule(which=st.integers(0, 9), name=st.sampled_from([*TOOLS, "no_such_tool"]), turns=TURNS)
    def answer_calls_a_tool(self, which: int, name: str, turns: int) -> None:
        response_id = self._speaking[which % len(self._speaking)]
        self._asked += 1
        self.stage.give(ToolCalled(response_id, f"own_call_{self._asked}", name, "{}"))
        self.stage.turn(turns)

    @precondition(lambda self: self._heard)
    @rule(which=st.integers(0, 9), cleared=st.booleans(), turns=TURNS)
    def playback_of_an_answer_is_reported(self, which: int, cleared: bool, turns: int) -> None:
        self.stage.give(PlaybackStopped(self._heard.pop(which % len(self._heard)), cleared=cleared))
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def somebody_interrupts(self, turns: int) -> None:
        self.stage.ask("interrupt", self.stage.session.interrupt())
        self.stage.turn(turns)

    def the_promises_hold(self) -> None:
        self.stage.check()
        typed = [turn for turn in self.stage.session.taken[:-1] if turn.source is TurnSource.TEXT]
        self.stage.require(len(self.stage.session.said) >= len(typed), "nobody asked for an answer to a text")
        recorded = {turn.op_id for turn in self.stage.of_kind(records.TurnStarted)}
        awaited = {spoken.turn_id for spoken in self.stage.session._conversation.user._awaited.values()}
        for request in self.stage.scene.desk.requests:
            known = request.turn_id in recorded | awaited or request.turn_id is None
            self.stage.require(
                known or self.stage.provider.connections_total > 1, "a tool hangs below no turn"
            )

    def _come_to_rest(self, within_s: int) -> None:
        """A model that has heard something answers it, and what it says ends."""
        stage = self.stage
        stage.release()
        if self._speaks:
            stage.user_stops("")
        for _ in range(within_s):
            if stage.session.is_over:
                return
            while self._speaking:
                stage.give(ResponseEnded(self._speaking.pop(), ResponseStatus.COMPLETED))
            while self._heard:
                stage.give(PlaybackStopped(self._heard.pop(), cleared=False))
            stage.pass_time(1.0)
            self.the_promises_hold()
            if not self._unanswered():
                return
            if stage.session._spoken.conversation.owed is Owed.TURN:
                self._begins()
                stage.pass_time(0.1)
        stage.require(False, f"{self._unanswered()} turns are not answered after {within_s} s")


class BrokenJournalModelMachine(FaultyHandlerMachine, ModelMachine):
    """The same over a journal that fails now and then."""

    answers_within_s: ClassVar = None
