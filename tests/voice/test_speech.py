"""What the agent says: one after the other, cut off when the user speaks, with what was heard of it."""

import asyncio
from collections.abc import Iterable

import pytest

from agentfield_adapters.scripted import Interruption, silent
from agentfield_rt.agent import RealtimeSession, UtteranceHandle
from agentfield_rt.core import records
from agentfield_rt.errors import Reason
from agentfield_rt.frames import (
    FRAME_BYTES,
    InputFrame,
    InputTranscript,
    OutputAudio,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
)
from agentfield_rt.testing.call_rules import performance
from agentfield_rt.testing.scene import Listener, Scene
from agentfield_rt.testing.scene import speaks as stage_speaks
from agentfield_rt.voice.conversation import PARTIAL_MAX
from agentfield_rt.voice.link import UtteranceState
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import VoiceCall, plays_at_the_provider, speaks, speech, voice_call

STORY = "one two three four five six seven eight nine ten"


async def keeps_quiet(session: RealtimeSession) -> None:
    async for _ in session.turns():
        pass


def handle(call: VoiceCall, text: str | None, instructions: str | None = None) -> UtteranceHandle:
    return UtteranceHandle(call.session.say(text, instructions))


@in_virtual_time
async def test_utterances_are_said_one_after_the_other_each_to_its_end() -> None:
    async with voice_call(keeps_quiet) as call:
        handles = [handle(call, text) for text in ("one", "two", "three")]
        await time_passes(0.2)
        assert [h.state for h in handles] == [
            UtteranceState.PLAYING,
            UtteranceState.PLANNED,
            UtteranceState.PLANNED,
        ]
        assert await handles[2] is handles[2]
        assert [(h.state, h.heard) for h in handles] == [
            (UtteranceState.PLAYED, t) for t in ("one", "two", "three")
        ]
        assert call.listener.played_bytes == 3 * 20 * FRAME_BYTES


@in_virtual_time
async def test_playing_takes_as_long_as_the_audio_lasts() -> None:
    async with voice_call(keeps_quiet, answer=speaks(audio_ms=3_000)) as call:
        began = asyncio.get_running_loop().time()
        await handle(call, STORY)
        assert 2.9 <= asyncio.get_running_loop().time() - began <= 3.3


@in_virtual_time
async def test_a_user_who_speaks_cuts_the_agent_off_and_the_journal_knows_what_was_heard() -> None:
    async with voice_call(keeps_quiet, answer=speaks(audio_ms=5_000)) as call:
        said, waits = handle(call, STORY), handle(call, "and more")
        await time_passes(2.0)
        await call.user_starts()
        assert said.state is UtteranceState.INTERRUPTED
        assert waits.state is UtteranceState.SKIPPED
        assert call.listener.cleared == 1
        assert said.heard
        assert STORY.startswith(said.heard)
        assert said.heard != STORY
        interrupted = (await call.of_kind(records.UtteranceInterrupted))[0]
        assert 1_900 <= interrupted.heard_ms <= 2_100
        assert await call.text_of(interrupted.heard_ref) == said.heard
        asked = [c.argument for c in call.adapter.calls if c.method == "interrupt"]
        assert asked == [Interruption("resp_1", interrupted.heard_ms)]
        played = call.listener.played_bytes
        await time_passes(1)
        assert call.listener.played_bytes == played


@in_virtual_time
async def test_while_the_user_speaks_nothing_new_is_begun() -> None:
    async with voice_call(keeps_quiet) as call:
        await call.user_starts()
        waiting = handle(call, "hello")
        await time_passes(1)
        assert call.adapter.sent == []
        await call.user_stops("done")
        await waiting
        assert waiting.state is UtteranceState.PLAYED


@in_virtual_time
async def test_a_cut_that_the_provider_made_itself_does_not_hit_the_next_answer() -> None:
    """The user begins just as an answer does; start of speech and cancelled response arrive together."""
    answers = 0

    def answer(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        nonlocal answers
        if not isinstance(frame, SpeechFrame):
            return
        answers += 1
        yield from speech(frame, response_id, audio_ms=400)
        if answers == 1:
            yield SpeechStarted("item_user")
            yield ResponseEnded(response_id, ResponseStatus.CANCELLED)
        else:
            yield ResponseEnded(response_id, ResponseStatus.COMPLETED)

    async with voice_call(keeps_quiet, answer=answer) as call:
        first = handle(call, "first")
        await call.settle()
        assert first.state is UtteranceState.INTERRUPTED
        await call.user_stops("what I wanted to say")
        second = handle(call, "second")
        await time_passes(2)
        assert second.state is UtteranceState.PLAYED
        assert call.listener.played_bytes == 20 * FRAME_BYTES


@in_virtual_time
async def test_interrupting_before_the_answer_has_begun_stops_it_when_it_does() -> None:
    async with voice_call(keeps_quiet, answer=silent) as call:
        said = handle(call, "unwanted")
        await call.settle()
        interrupting = asyncio.create_task(call.session.interrupt())
        await call.settle()
        frame = call.adapter.sent[-1]
        assert isinstance(frame, SpeechFrame)
        call.adapter.give(*speech(frame, "resp_9", audio_ms=400))
        await interrupting
        assert said.state is UtteranceState.INTERRUPTED
        assert said.heard == ""
        assert [c.argument for c in call.adapter.calls if c.method == "interrupt"] == [
            Interruption("resp_9", 0)
        ]
        assert call.listener.played_bytes == 0


@in_virtual_time
async def test_audio_that_arrives_while_a_response_is_being_cut_is_not_played_after_all() -> None:
    async with voice_call(keeps_quiet, answer=speaks(audio_ms=2_000)) as call:
        handle(call, STORY)
        await time_passes(0.5)
        held = call.adapter.hold("interrupt")
        interrupting = asyncio.create_task(call.session.interrupt())
        call.adapter.give(*(OutputAudio("resp_1", "item_resp_1", bytes(FRAME_BYTES)) for _ in range(20)))
        await held.wait_reached()
        played = call.listener.played_bytes
        await time_passes(1)
        held.release()
        await interrupting
        after = handle(call, "next")
        await after
        assert call.listener.played_bytes == played + 100 * FRAME_BYTES


@in_virtual_time
async def test_over_webrtc_the_provider_says_what_was_heard() -> None:
    async with voice_call(keeps_quiet, transport="webrtc", answer=plays_at_the_provider) as call:
        played = handle(call, "hello there")
        await time_passes(0.5)
        assert played.state is UtteranceState.PLAYING
        await call.playback_ends()
        await played
        cut = handle(call, STORY)
        await time_passes(1.0)
        await call.user_starts()
        await call.playback_ends(cleared=True)
        await cut
        states = [played.state, cut.state]
        assert states == [UtteranceState.PLAYED, UtteranceState.INTERRUPTED]
        assert STORY.startswith(cut.heard)
        assert 0 < len(cut.heard) < len(STORY)


@in_virtual_time
async def test_over_webrtc_interrupt_returns_when_it_is_silent_or_after_two_seconds() -> None:
    async with voice_call(keeps_quiet, transport="webrtc", answer=plays_at_the_provider) as call:
        said = handle(call, STORY)
        await time_passes(0.5)
        interrupting = asyncio.create_task(call.session.interrupt())
        await call.settle()
        assert not interrupting.done()
        await call.playback_ends(cleared=True)
        await interrupting
        silent_provider = handle(call, STORY)
        await time_passes(0.5)
        began = asyncio.get_running_loop().time()
        await call.session.interrupt()
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0, abs=0.1)
        assert [said.state, silent_provider.state] == [UtteranceState.INTERRUPTED] * 2


@in_virtual_time
async def test_what_is_said_after_an_interruption_is_not_skipped_with_it() -> None:
    said_next: list[UtteranceHandle] = []

    async def handler(session: RealtimeSession) -> None:
        await session.say(STORY)
        said_next.append(session.say("next"))
        await asyncio.Event().wait()

    async with voice_call(handler, transport="webrtc", answer=plays_at_the_provider) as call:
        await time_passes(0.5)
        interrupting = asyncio.create_task(call.session.interrupt())
        await call.settle()
        await call.playback_ends(cleared=True)
        await interrupting
        await call.settle()
        assert [h.state for h in said_next] == [UtteranceState.PLAYING]


@in_virtual_time
async def test_an_outcome_is_written_once_and_what_was_heard_stays() -> None:
    async with voice_call(keeps_quiet, answer=speaks(audio_ms=5_000)) as call:
        said = handle(call, STORY)
        await time_passes(1)
        await call.session.interrupt()
        heard = said.heard
        await time_passes(5)
        await call.session.interrupt()
        assert said.heard == heard
        assert len(await call.of_kind(records.UtteranceInterrupted)) == 1


@in_virtual_time
async def test_cancelling_one_who_waits_for_an_utterance_touches_neither_it_nor_the_others() -> None:
    async with voice_call(keeps_quiet) as call:
        said = handle(call, "hello")

        async def wait() -> None:
            await said

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await call.settle()
        first.cancel()
        await second
        assert said.state is UtteranceState.PLAYED


@in_virtual_time
async def test_an_answer_that_never_begins_fails_after_fifteen_seconds() -> None:
    async with voice_call(keeps_quiet, answer=silent) as call:
        said = handle(call, "hello")
        await time_passes(14)
        assert said.state is UtteranceState.SYNTHESISING
        await said
        assert (said.state, said.reason) == (UtteranceState.FAILED, Reason.TIMEOUT)


@in_virtual_time
@pytest.mark.parametrize("began", [False, True])
async def test_nobody_hears_an_answer_that_comes_after_its_utterance_failed(began: bool) -> None:
    def late(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        if began and isinstance(frame, SpeechFrame):
            yield ResponseStarted(response_id, frame.utterance_id)

    async with voice_call(keeps_quiet, answer=late) as call:
        said = call.session.say("hello")
        await said.wait()
        assert (said.state, said.reason) == (UtteranceState.FAILED, Reason.TIMEOUT)
        if not began:
            call.adapter.give(ResponseStarted("resp_1", said.utterance_id))
        call.adapter.give(*[OutputAudio("resp_1", "item_1", bytes(FRAME_BYTES))] * 50)
        await time_passes(3)
        assert call.listener.played_bytes == 0
        asked = [c.argument for c in call.adapter.calls if c.method == "interrupt"]
        assert asked == [Interruption("resp_1", 0)]


@in_virtual_time
async def test_an_answer_that_goes_on_for_ever_is_stopped_at_the_provider() -> None:
    def endless(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        if isinstance(frame, SpeechFrame):
            yield from speech(frame, response_id, audio_ms=1_000)

    async with voice_call(keeps_quiet, answer=endless) as call:
        said = await handle(call, "hello")
        assert (said.state, said.reason) == (UtteranceState.FAILED, Reason.TIMEOUT)
        await time_passes(1)
        asked = [c.argument for c in call.adapter.calls if c.method == "interrupt"]
        assert asked == [Interruption("resp_1", 1_000)]


def test_a_caller_who_hears_nothing_of_a_cut_does_not_keep_the_provider_speaking() -> None:
    class Deaf(Listener):
        async def clear(self) -> None:
            await asyncio.Event().wait()

    async def tells(session: RealtimeSession) -> None:
        async for _ in session.turns():
            session.say(STORY)

    with performance(Scene(tells, answer=stage_speaks(audio_ms=5_000), listener=Deaf())) as stage:
        stage.user_says()
        stage.user_starts()
        stage.pass_time(1.5)
        assert "interrupt" in [call.method for call in stage.adapter.calls]
        assert [u.state for u in stage.session.said] == [UtteranceState.INTERRUPTED]


@in_virtual_time
async def test_of_more_turns_than_can_be_shown_at_once_the_oldest_begins_anew() -> None:
    async with voice_call(keeps_quiet) as call:
        shown: list[str] = []

        async def watch() -> None:
            async for event in call.session.live.subscribe():
                shown.append(event["text"])

        watching = asyncio.create_task(watch())
        await call.settle()
        for number in (*range(PARTIAL_MAX + 1), PARTIAL_MAX, 0):
            call.adapter.give(InputTranscript(f"item_{number}", "a", final=False))
        await call.settle()
        assert shown[-2:] == ["aa", "a"]
        await call.session.close()
        await watching


@in_virtual_time
async def test_an_answer_the_provider_fails_fails_its_utterance_and_the_next_is_said() -> None:
    def fails_first(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        if isinstance(frame, SpeechFrame):
            yield ResponseStarted(response_id, frame.utterance_id)
            if frame.text == "first":
                yield ResponseEnded(response_id, ResponseStatus.FAILED)
            else:
                yield from speaks()(frame, response_id)

    async with voice_call(keeps_quiet, answer=fails_first) as call:
        first, second = handle(call, "first"), handle(call, "second")
        await second
        assert [first.state, second.state] == [UtteranceState.FAILED, UtteranceState.PLAYED]


@in_virtual_time
async def test_a_response_without_audio_is_over_when_it_ends() -> None:
    def speechless(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        if isinstance(frame, SpeechFrame):
            yield ResponseStarted(response_id, frame.utterance_id)
            yield ResponseEnded(response_id, ResponseStatus.COMPLETED)

    async with voice_call(keeps_quiet, answer=speechless) as call:
        began = asyncio.get_running_loop().time()
        await handle(call, "hello")
        assert asyncio.get_running_loop().time() - began < 0.1


@in_virtual_time
async def test_a_caller_who_only_types_does_not_wait_for_audio_that_nobody_plays() -> None:
    async with voice_call(keeps_quiet, listens=False) as call:
        said = handle(call, "hello")
        await time_passes(0.1)
        assert said.state is UtteranceState.PLAYED


@in_virtual_time
async def test_nothing_to_say_and_too_much_to_say_are_skipped_at_once() -> None:
    async with voice_call(keeps_quiet, answer=silent) as call:
        empty = handle(call, "")
        assert (empty.state, empty.reason) == (UtteranceState.SKIPPED, Reason.INVALID_REQUEST)
        handles = [handle(call, f"number {number}") for number in range(70)]
        assert [h.reason for h in handles if h.state is UtteranceState.SKIPPED] == [Reason.UNAVAILABLE] * 6


@in_virtual_time
async def test_a_reply_follows_instructions_and_is_marked_as_not_verbatim() -> None:
    async with voice_call(keeps_quiet) as call:
        await handle(call, None, "greet the caller")
        frame = call.adapter.sent[-1]
        assert isinstance(frame, SpeechFrame)
        assert (frame.text, frame.instructions) == (None, "greet the caller")
        assert [r.verbatim for r in await call.of_kind(records.UtteranceRequested)] == [False]


@in_virtual_time
async def test_hanging_up_while_the_agent_speaks_records_what_was_heard() -> None:
    async with voice_call(keeps_quiet, answer=speaks(audio_ms=5_000)) as call:
        said, waits = handle(call, STORY), handle(call, "more")
        await time_passes(2)
        await call.session.close()
        assert [said.state, waits.state] == [UtteranceState.INTERRUPTED, UtteranceState.SKIPPED]
        assert [r.heard_ms for r in await call.of_kind(records.UtteranceInterrupted)] == [
            pytest.approx(2_000, abs=150)
        ]
