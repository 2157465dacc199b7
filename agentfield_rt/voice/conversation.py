"""What provider events mean for the conversation: who speaks, what was said, what was heard.

Synchronous and without effects on the provider: the session acts on what this finds out.
"""

import asyncio

from agentfield_rt.core.records import TurnSource
from agentfield_rt.errors import Reason
from agentfield_rt.frames import (
    BYTES_PER_MS,
    InputRejected,
    InputTranscript,
    OutputAudio,
    OutputTranscript,
    PlaybackStarted,
    PlaybackStopped,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechStarted,
    SpeechStopped,
)
from agentfield_rt.ports import Clock
from agentfield_rt.turn_detection import interrupts
from agentfield_rt.voice.link import Turn, UtteranceState
from agentfield_rt.voice.live import LiveFeed
from agentfield_rt.voice.player import Player
from agentfield_rt.voice.speaking import Speaking
from agentfield_rt.voice.spec import SessionSpec
from agentfield_rt.voice.turns import Turns
from agentfield_rt.voice.utterance import Utterance
from agentfield_rt.voice.utterances import Utterances

PARTIAL_CHARACTERS_MAX = 20_000
"""Of a turn that is shown while it is said; its transcript is whole all the same."""

PARTIAL_MAX = 16
"""Turns that are shown while they are said, at once. The oldest goes, its turn comes all the same."""


class Conversation:
    """Folds provider events into turns and utterances.

    Attributes:
        user: What the user is saying, and has said without that its words came yet.
        answers: What the model says by itself.
    """

    def __init__(
        self,
        turns: Turns,
        utterances: Utterances,
        *,
        live: LiveFeed,
        clock: Clock,
        spec: SessionSpec,
    ) -> None:
        self.user = Speaking(clock, silence_ms=spec.silence_ms)
        self._turns = turns
        self._utterances = utterances
        self.answers = utterances.answers
        self._live = live
        self._spec = spec
        self._partial: dict[str, str] = {}
        self._agent = "idle"
        self._cut_in = False
        self._unwanted: list[str] = []
        self._was_heard = False

    def handle(self, event: ProviderEvent, player: Player | None = None) -> None:
        """Take one provider event; `player` is there when we carry the agent's audio."""
        match event:
            case OutputAudio(response_id, _, pcm):  # first, because most events are
                if (spoken := self._of(response_id) or self.answers.get(response_id)) is not None:
                    spoken.audio_bytes += len(pcm)
                if player is not None:
                    player.give(response_id, pcm)
            case SpeechStarted() | SpeechStopped():
                self._speech(event, player)
            case InputTranscript(item_id, text, final):
                self._heard_user(item_id, text, final=final)
            case InputRejected(item_id, is_turn):
                self._not_understood(item_id, is_turn=is_turn)
            case ResponseStarted(response_id, utterance_id):
                self._response_started(response_id, utterance_id, player)
            case OutputTranscript(response_id, _, text):
                self._saying(response_id, text)
            case PlaybackStarted(response_id):
                self._playback_started(response_id)
            case PlaybackStopped(response_id, cleared):
                self._playback_stopped(response_id, cleared=cleared)
            case ResponseEnded():
                self._response_ended(event, player)
            case _:
                pass

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks, and no words of the user nor of the agent are still to come."""
        is_silent = self._agent == "idle" and not self.user.is_going_on
        return is_silent and not self.user.awaits_words and self._utterances.is_idle

    def typed(self, turn: Turn) -> None:
        """The user typed a turn, and the provider has it; `Turns.hand_out` must follow."""
        self.user.typed(turn.id)
        self._turns.record(turn, spoken_until_ns=None)

    @property
    def provider_plays(self) -> bool:
        """Whether the provider plays what it says, on a call that outlives our connection to it."""
        return self._spec.provider_plays

    def take_cut_in(self) -> bool:
        """Whether the user began to speak over the agent since this was last asked."""
        cut_in, self._cut_in = self._cut_in, False
        return cut_in

    def take_unwanted(self) -> list[str]:
        """Responses that began since this was last asked, to utterances that have their outcome already."""
        unwanted, self._unwanted = self._unwanted, []
        return unwanted

    def take_heard(self) -> bool:
        """Whether the caller began to hear anything since this was last asked."""
        was_heard, self._was_heard = self._was_heard, False
        return was_heard

    def connection_lost(self, player: Player | None) -> None:
        """What is being said breaks off; nobody will report the end of what the user was saying."""
        self.break_off_answers(player, lost=True)
        self._partial.clear()
        self.user.breaks_off()
        self._utterances.hold(while_user_speaks=False)
        self._publish_state()

    def set_agent(self, state: str) -> None:
        """Say what the agent is doing: idle, thinking or speaking."""
        if self._agent != state:
            self._agent = state
            self._publish_state()

    def heard_ms(self, utterance: Utterance, player: Player | None) -> int:
        """How much of an utterance the caller has heard by now."""
        if player is not None and utterance.response_id is not None:
            return player.heard_ms(utterance.response_id)
        if utterance.started_at is None:
            return 0
        return int((asyncio.get_running_loop().time() - utterance.started_at) * 1000)

    def _speech(self, event: SpeechStarted | SpeechStopped, player: Player | None) -> None:
        speaking = isinstance(event, SpeechStarted)
        if speaking:
            self.user.begins()
            current = self._utterances.current
            # Where the provider plays, it stops by itself and reports it.
            talks = current is not None or self.answers.heard_now is not None
            self._cut_in = player is not None and talks and interrupts(self._spec.config.turn_detection)
            self._utterances.drop_rest()
        else:
            self.user.ends(event.item_id)
        self._utterances.hold(while_user_speaks=speaking)
        kind = "speech_started" if speaking else "speech_stopped"
        self._live.publish({"type": kind, "item_id": event.item_id})
        self._publish_state()

    def _heard_user(self, item_id: str, text: str, *, final: bool) -> None:
        if not final:
            so_far = (self._partial.get(item_id, "") + text)[-PARTIAL_CHARACTERS_MAX:]
            self._partial[item_id] = so_far
            if len(self._partial) > PARTIAL_MAX:
                del self._partial[next(iter(self._partial))]
            self._live.publish({"type": "partial", "item_id": item_id, "text": so_far})
            return
        self._partial.pop(item_id, None)
        self._commit(item_id, text=text.strip(), understood=bool(text.strip()))

    def _not_understood(self, item_id: str, *, is_turn: bool) -> None:
        if not is_turn:
            self.user.was_nothing(item_id)
            self._publish_state()  # who waited for its words need not
            return
        self._partial.pop(item_id, None)
        self._commit(item_id, text="", understood=False)

    def _commit(self, item_id: str, *, text: str, understood: bool) -> None:
        spoken = self.user.words_came(item_id)
        turn = Turn(spoken.turn_id, text, understood, TurnSource.SPEECH)
        self._turns.commit(turn, spoken_until_ns=spoken.until_ns)
        if self.answers.latest != turn.id:
            self.set_agent("thinking")

    def _response_started(self, response_id: str, utterance_id: str | None, player: Player | None) -> None:
        utterance = self._utterances.current
        if utterance_id is None:
            self.answers.begin(response_id, to=self.user.latest)
            if self._spec.config.create_response and self._turns.current_id == self.user.latest:
                self._turns.answer()
            return
        if utterance is not None and utterance_id == utterance.utterance_id:
            utterance.response_id = response_id
            return
        self._unwanted.append(response_id)
        if player is not None:
            player.refuse(response_id)

    def _saying(self, response_id: str, text: str) -> None:
        utterance = self._of(response_id)
        if utterance is None:
            self.answers.add_text(response_id, text)
            if (answer := self.answers.get(response_id)) is not None:
                said = answer.transcript.whole
                self._live.publish({"type": "saying", "response_id": response_id, "text": said})
            return
        audio_ms = utterance.audio_bytes // BYTES_PER_MS
        if not audio_ms and utterance.started_at is not None:
            audio_ms = int((asyncio.get_running_loop().time() - utterance.started_at) * 1000)
        utterance.transcript.append(text, audio_ms=audio_ms)
        self._live.publish(
            {"type": "saying", "utterance_id": utterance.utterance_id, "text": utterance.transcript.whole}
        )

    def _playback_started(self, response_id: str) -> None:
        self._was_heard = True
        self.answers.start(response_id)
        if (utterance := self._of(response_id)) is not None:
            self._utterances.started(utterance, response_id, now_s=asyncio.get_running_loop().time())
        if utterance is not None or self.answers.get(response_id) is not None:
            self.set_agent("speaking")

    def _playback_stopped(self, response_id: str, *, cleared: bool) -> None:
        utterance = self._of(response_id)
        if utterance is None:
            heard_ms = self.answers.elapsed_ms(response_id) if cleared else None
            self._answer_over(response_id, heard_ms=heard_ms)
            return
        if cleared:
            heard_ms = utterance.heard_ms  # known where we play; the provider's playback is timed
            self._utterances.interrupted(
                utterance, self.heard_ms(utterance, None) if heard_ms is None else heard_ms
            )
        else:
            self._utterances.played(utterance)
        self.set_agent("idle")

    def _response_ended(self, event: ResponseEnded, player: Player | None) -> None:
        """Generation is over; what is still playing ends by `PlaybackStopped`."""
        if event.reason is Reason.CONNECTION_LOST:
            return  # the loss itself follows, and decides what becomes of it
        response_id, status = event.response_id, event.status
        if response_id in self._unwanted:
            self._unwanted.remove(response_id)
        if player is not None:
            player.finish(response_id)
        utterance = self._of(response_id)
        if status is ResponseStatus.COMPLETED:
            self._finish_text(response_id, utterance)
        if utterance is None:
            self._own_answer_ended(response_id, status, player)
            return
        if utterance.state is UtteranceState.PLAYING:
            return
        if status is ResponseStatus.FAILED:
            self._utterances.failed(utterance, event.reason or Reason.UNAVAILABLE)
        elif status is ResponseStatus.CANCELLED:
            if player is not None:
                player.refuse(response_id)  # nobody wants to hear what came of it
            self._utterances.interrupted(utterance, 0)
        elif self._has_nothing_to_play(utterance, player):
            self._utterances.played(utterance)
            self.set_agent("idle")

    def _own_answer_ended(self, response_id: str, status: ResponseStatus, player: Player | None) -> None:
        answer = self.answers.get(response_id)
        if answer is None:
            return
        if status is ResponseStatus.FAILED:
            self.answers.failed = answer.to
        is_whole = status is ResponseStatus.COMPLETED and answer.transcript.whole
        if self._spec.provider_plays:
            if answer.started_at is None and not is_whole:  # nobody will report that it was heard
                self._answer_over(response_id, heard_ms=0)
        elif player is None or not answer.audio_bytes:  # what was said counts as heard
            self._answer_over(response_id)

    def _answer_over(self, response_id: str, *, heard_ms: int | None = None) -> None:
        self.answers.over(response_id, heard_ms=heard_ms)
        if self._utterances.is_idle:
            self.set_agent("idle")

    def _finish_text(self, response_id: str, utterance: Utterance | None) -> None:
        """All its words are here."""
        if utterance is not None:
            utterance.transcript.finish(audio_ms=utterance.audio_bytes // BYTES_PER_MS)
        else:
            self.answers.finish(response_id)

    def end_speech(self, player: Player | None) -> None:
        """The session is over: whatever is being said stops here."""
        utterance = self._utterances.current
        self.break_off_answers(player, lost=False)
        self._utterances.end(self.heard_ms(utterance, player) if utterance else 0)

    def break_off_answers(self, player: Player | None, *, lost: bool) -> None:
        """What the model says by itself ends here; `lost`: with its connection."""
        elapsed_ms = self.answers.elapsed_ms
        self.answers.break_off(elapsed_ms if player is None else player.heard_ms, lost=lost)

    def _has_nothing_to_play(self, utterance: Utterance, player: Player | None) -> bool:
        """Whether nobody will report a playback: the model said nothing, or there is nobody to play it to."""
        if self._spec.provider_plays:  # its audio does not come past here, but its words do
            return not utterance.transcript.whole
        return player is None or not utterance.audio_bytes

    def _of(self, response_id: str) -> Utterance | None:
        utterance = self._utterances.current
        return utterance if utterance is not None and utterance.response_id == response_id else None

    def _publish_state(self) -> None:
        user = "speaking" if self.user.is_going_on else "listening"
        self._live.publish({"type": "state", "user": user, "agent": self._agent})
