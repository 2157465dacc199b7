"""Bugs planted on purpose. Each is one plausible slip of the hand; the machine must notice every one."""

# pyright: reportPrivateUsage=false

import asyncio
from typing import Any

import pytest

from agentfield_rt.core import records
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import InputFrame
from agentfield_rt.idle import Recent
from agentfield_rt.run import Context, Run
from agentfield_rt.voice import handling as handling_module
from agentfield_rt.voice import stopping as stopping_module
from agentfield_rt.voice.ending import Ending
from agentfield_rt.voice.interventions import Interventions
from agentfield_rt.voice.link import Turn, UtteranceState
from agentfield_rt.voice.live import LiveFeed
from agentfield_rt.voice.recorder import Recorder
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.tasks import SessionTasks
from agentfield_rt.voice.tools import ToolCalls, ToolGate
from agentfield_rt.voice.turns import Turns
from agentfield_rt.voice.utterance import Utterance
from agentfield_rt.voice.utterances import Utterances
from tests.planting import Bugs, nothing
from tests.voice import test_connection
from tests.voice.machine import BrokenJournalVoiceMachine, VoiceMachine

PLANTED = Bugs(seen_by=VoiceMachine)
planted = PLANTED.planted


async def no_wait(*_: object, **__: object) -> None:
    """What was forgotten, where it would be awaited."""


# Turns.


@planted("the newest turn comes first", seed=2)
def newest_turn_first(patch: pytest.MonkeyPatch) -> None:
    original = Turns.next

    async def next_turn(self: Turns) -> Turn | None:
        self._waiting.reverse()
        return await original(self)

    patch.setattr(Turns, "next", next_turn)


@planted("a turn is handed out and stays in line")
def turn_handed_out_twice(patch: pytest.MonkeyPatch) -> None:
    original = Turns.next

    async def next_turn(self: Turns) -> Turn | None:
        turn = await original(self)
        if turn is not None and self.taken_total == 2:
            self._waiting.insert(0, turn)
        return turn

    patch.setattr(Turns, "next", next_turn)


@planted("turns that nobody asked for are forgotten when the call ends")
def waiting_turns_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = Turns.end

    def end(self: Turns) -> None:
        self._waiting.clear()
        original(self)

    patch.setattr(Turns, "end", end)


@planted("a turn whose handler raised is left open")
def failed_turn_left_open(patch: pytest.MonkeyPatch) -> None:
    def fail(self: Turns, reason: Reason) -> None:
        self._take_current()

    patch.setattr(Turns, "fail", fail)


@planted("a typed turn is acknowledged before it is durable")
def acknowledged_early(patch: pytest.MonkeyPatch) -> None:
    original = VoiceSession.hear_text

    async def hear_text(self: VoiceSession, text: str) -> str:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self._run, "durable", no_wait)
            return await original(self, text)

    patch.setattr(VoiceSession, "hear_text", hear_text)


# Speech.


@planted("an utterance gets a second outcome")
def second_outcome(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Utterances, "interrupted", _interrupted_again)


def _interrupted_again(self: Utterances, utterance: Utterance, heard_ms: int) -> None:
    utterance.state, utterance.heard_ms = UtteranceState.PLAYING, heard_ms
    self._finish(utterance, UtteranceState.INTERRUPTED)


@planted("what waits to be said is forgotten when the call ends")
def queue_forgotten(patch: pytest.MonkeyPatch) -> None:
    def skip(self: Utterances, reason: Reason) -> None:
        self._queue.clear()

    patch.setattr(Utterances, "skip_queued", skip)


@planted("the next utterance begins while one is being heard")
def two_at_once(patch: pytest.MonkeyPatch) -> None:
    async def say(self: Utterances, utterance: Utterance) -> None:
        self._current = utterance
        utterance.state = UtteranceState.SYNTHESISING
        await self._send(utterance)
        await utterance.begun.wait()

    patch.setattr(Utterances, "_say", say)


@planted(
    "what broke off with the connection is said again from its beginning",
    seen_by=test_connection.test_the_caller_hears_the_rest_of_what_broke_off_and_nothing_twice,
)
def said_again(patch: pytest.MonkeyPatch) -> None:
    original = Utterance.take_up

    def take_up(self: Utterance, heard_ms: int) -> None:
        original(self, heard_ms)
        self.rest = None

    patch.setattr(Utterance, "take_up", take_up)


@planted("a frame that may have arrived is sent again", seed=11)
def doubtful_frame_sent_again(patch: pytest.MonkeyPatch) -> None:
    original = VoiceSession._send

    async def send(self: VoiceSession, frame: InputFrame) -> None:
        try:
            await original(self, frame)
        except ProviderError as error:
            if error.not_done or self.is_over:
                raise
            await original(self, frame)

    patch.setattr(VoiceSession, "_send", send)


@planted("silence is waited for without end")
def silence_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stopping_module, "SILENCE_MAX_S", None)
    patch.setattr(Utterances, "end", nothing)


# Tools, approvals, rules, deliveries.


@planted("a tool that the provider asks for twice is run twice", seed=11)
def tool_run_twice(patch: pytest.MonkeyPatch) -> None:
    original = ToolCalls.handle

    def handle(self: ToolCalls, event: Any) -> None:
        self._seen = Recent(1)
        original(self, event)

    patch.setattr(ToolCalls, "handle", handle)


@planted("the result of a cancelled tool is lost", seed=6)
def cancelled_tool_lost(patch: pytest.MonkeyPatch) -> None:
    original = ToolCalls._finish

    def finish(self: ToolCalls, call_id: str, reason: Reason | None) -> None:
        if reason is not Reason.CANCELLED:
            original(self, call_id, reason)

    patch.setattr(ToolCalls, "_finish", finish)


@planted("a tool that needs an approval runs without")
def unapproved(patch: pytest.MonkeyPatch) -> None:
    def needs_approval(self: ToolGate, target: str) -> bool:
        return False

    patch.setattr(ToolGate, "needs_approval", needs_approval)


@planted("an intervention gets a second outcome")
def second_intervention(patch: pytest.MonkeyPatch) -> None:
    def close_with(self: Interventions, closer: Any) -> None:
        self.write([closer], None)

    patch.setattr(Interventions, "_close_with", close_with)


# The end.


@planted("the tasks of a call outlive it")
def tasks_outlive(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionTasks, "stop", no_wait)


@planted("a cancelled handler is run again")
def cancellation_swallowed(patch: pytest.MonkeyPatch) -> None:
    def is_cancelled() -> bool:
        return False

    patch.setattr(handling_module, "is_cancelled", is_cancelled)


@planted("the provider is not hung up on")
def not_hung_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ending, "_hang_up", no_wait)


@planted("the provider is hung up on after the last record")
def hung_up_late(patch: pytest.MonkeyPatch) -> None:
    original = Ending._hang_up

    async def hang_up(self: Ending, reason: Any) -> None:
        self._record(records.SessionEnded(reason=reason))
        self._is_recorded = True
        await original(self, reason)

    patch.setattr(Ending, "_hang_up", hang_up)


@planted("readers of the live feed wait for ever")
def feed_left_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LiveFeed, "close", nothing)


@planted("a doubt is left when the call ends", seed=9)
def doubt_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ending, "abandon_unknown", nothing)


@planted("the provider is asked before the intent is durable")
def effect_runs_ahead(patch: pytest.MonkeyPatch) -> None:
    async def durable(self: Run, cursor: object = None) -> None:
        await asyncio.sleep(0)

    patch.setattr(Run, "durable", durable)


@planted("an outcome that the journal did not take is forgotten", seen_by=BrokenJournalVoiceMachine, seed=4)
def owed_forgotten(patch: pytest.MonkeyPatch) -> None:
    def record(self: Recorder, record: records.Record, turn_id: str | None = None) -> None:
        self._run.append([record], Context(session_id=self._session_id, turn_id=turn_id))

    patch.setattr(Recorder, "record", record)


def _the_journal_fails_in_mid_call() -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_connection.test_a_journal_that_fails_in_mid_call_does_not_leave_the_microphone_open(patch)


@planted("the microphone stays open when the journal is gone", seen_by=_the_journal_fails_in_mid_call)
def microphone_open(patch: pytest.MonkeyPatch) -> None:
    async def end(self: Ending, reason: Any) -> None:
        await self.tasks.stop()
        await self._end_conversation()
        await self._controller.close(reason)
        self.abandon_unknown()
        self._record(records.SessionEnded(reason=reason))
        await self._run.durable()

    patch.setattr(Ending, "_end", end)
