"""When the connection to the provider is lost: the call goes on where it can, and else ends cleanly."""

import asyncio

import pytest

from agentfield_adapters.scripted import silent
from agentfield_journal import JournalUnavailable
from agentfield_journal.writer import StoreRunWriter
from agentfield_rt.agent import RealtimeSession, UtteranceHandle
from agentfield_rt.core import records
from agentfield_rt.core.records import Limits
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import AudioFrame, CallEnded, SpeechFrame, SpeechStarted, TextFrame
from agentfield_rt.voice.link import UtteranceState
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.utterance import Utterance
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import plays_at_the_provider, speaks, voice_call


async def repeats(session: RealtimeSession) -> None:
    async for turn in session.turns():
        await session.say(turn.text)


@in_virtual_time
async def test_over_a_websocket_the_call_goes_on_with_a_new_connection() -> None:
    async with voice_call(repeats, answer=speaks(audio_ms=2_000)) as call:
        said = UtteranceHandle(call.session.say("one two three four", None))
        await time_passes(1.0)
        call.adapter.drop()
        await time_passes(3)
        assert said.state is UtteranceState.PLAYED
        await call.user_says("are you there")
        await time_passes(3)
        assert len(await call.of_kind(records.UtterancePlayed)) == 2
        assert len(await call.of_kind(records.RestartCompleted)) == 1


@in_virtual_time
async def test_the_caller_hears_the_rest_of_what_broke_off_and_nothing_twice() -> None:
    async with voice_call(repeats, answer=speaks(audio_ms=2_000)) as call:
        said = UtteranceHandle(call.session.say("one two three four", None))
        await time_passes(1.0)  # of two seconds: two words of four
        call.adapter.drop()
        await time_passes(3)
        asked = [frame.text for frame in call.adapter.sent if isinstance(frame, SpeechFrame)]
        assert asked == ["one two three four", "three four"]
        assert said.heard == "one two three four"
        (resumed,) = await call.of_kind(records.UtteranceResumed)
        assert await call.text_of(resumed.heard_ref) == "one two"


@in_virtual_time
async def test_what_nobody_heard_is_asked_for_three_times_and_then_failed() -> None:
    async with voice_call(repeats, answer=silent) as call:
        said = UtteranceHandle(call.session.say("hello", None))
        for _ in range(3):
            await time_passes(8.0)  # longer than any back-off
            call.adapter.drop()
        await call.settle()
        assert (said.state, said.reason) == (UtteranceState.FAILED, Reason.CONNECTION_LOST)


@in_virtual_time
async def test_a_user_who_speaks_in_the_gap_hears_no_more_of_what_broke_off() -> None:
    async with voice_call(repeats, answer=speaks(audio_ms=2_000)) as call:
        said = UtteranceHandle(call.session.say("one two three four", None))
        await time_passes(1.0)
        call.adapter.drop()
        await call.settle()
        call.adapter.give(SpeechStarted("item_user"))
        await call.settle()
        assert said.state is UtteranceState.INTERRUPTED
        assert said.heard == "one two"


@in_virtual_time
async def test_what_the_user_says_during_the_restart_follows_in_order_afterwards() -> None:
    async with voice_call(repeats) as call:
        held = call.adapter.hold("restart")
        call.adapter.drop()
        await held.wait_reached()
        for number in range(5):
            await call.session.hear_audio(bytes([number]) * 960)
        held.release()
        await call.settle()
        first_bytes = [frame.pcm[0] for frame in call.adapter.sent if isinstance(frame, AudioFrame)]
        assert first_bytes == [0, 1, 2, 3, 4]


@in_virtual_time
async def test_a_user_who_was_speaking_when_the_connection_broke_does_not_silence_the_agent_for_ever() -> (
    None
):
    async with voice_call(repeats) as call:
        await call.user_starts()
        call.adapter.drop()
        await call.settle()
        said = UtteranceHandle(call.session.say("pardon?", None))
        await time_passes(2)
        assert said.state is UtteranceState.PLAYED


@in_virtual_time
async def test_a_loss_that_a_send_finds_first_is_not_overlooked() -> None:
    """The listener is busy cutting an utterance off when the connection breaks under it."""
    async with voice_call(repeats, answer=speaks(audio_ms=3_000)) as call:
        call.session.say("a long story", None)
        await time_passes(0.5)
        held = call.adapter.hold("interrupt")
        await call.user_starts()
        await held.wait_reached()
        held.lose()
        await call.settle()
        assert len(await call.of_kind(records.RestartCompleted)) == 1
        await call.user_says("hello?")
        await time_passes(4)
        assert len(await call.of_kind(records.UtterancePlayed)) == 1


@in_virtual_time
@pytest.mark.parametrize("acted", [True, False])
async def test_text_whose_arrival_is_unknown_is_not_typed_again_and_blocks_nothing(acted: bool) -> None:
    async with voice_call(repeats) as call:
        held = call.adapter.hold("send")
        typing = asyncio.create_task(call.session.hear_text("hello"))
        await held.wait_reached()
        held.lose(acted=acted)
        with pytest.raises(ConnectionLost):
            await typing
        await call.settle()
        await call.session.hear_text("hello again")
        texts = [frame.text for frame in call.adapter.sent if isinstance(frame, TextFrame)]
        assert texts == ["hello"] * acted + ["hello again"]


@in_virtual_time
async def test_speech_in_flight_at_a_restart_is_said_once_on_the_new_connection() -> None:
    async with voice_call(repeats) as call:
        held = call.adapter.hold("send")
        first = UtteranceHandle(call.session.say("first", None))
        await held.wait_reached()
        call.adapter.drop()
        await call.settle()
        second = UtteranceHandle(call.session.say("second", None))
        await time_passes(2)
        assert [first.state, second.state] == [UtteranceState.PLAYED, UtteranceState.PLAYED]
        spoken = [frame.text for frame in call.adapter.sent if isinstance(frame, SpeechFrame)]
        assert spoken == ["first", "second"]


async def _speaks_behind_a_text_that_is_lost() -> list[str | None]:
    """What reaches the provider when the connection breaks while speech waits for its turn to be sent."""
    async with voice_call(repeats) as call:
        held = call.adapter.hold("send")
        typing = asyncio.create_task(call.session.hear_text("typed"))
        await held.wait_reached()
        call.session.say("hello", None)
        await call.settle()
        call.adapter.drop()
        await call.settle()
        await time_passes(2)
        assert isinstance(typing.exception(), ProviderError)
        return [frame.text for frame in call.adapter.sent if isinstance(frame, SpeechFrame)]


@in_virtual_time
async def test_speech_that_waits_for_its_turn_when_the_connection_breaks_is_said_once() -> None:
    assert await _speaks_behind_a_text_that_is_lost() == ["hello"]


@in_virtual_time
async def test_speech_that_cannot_be_held_back_would_be_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def speak(self: VoiceSession, utterance: Utterance) -> None:
        sending = asyncio.ensure_future(self._send(utterance.frame))  # pyright: ignore[reportPrivateUsage]
        await asyncio.shield(sending)

    monkeypatch.setattr(VoiceSession, "_speak", speak)
    assert await _speaks_behind_a_text_that_is_lost() != ["hello"]


@in_virtual_time
async def test_more_audio_than_may_wait_delays_what_is_said_meanwhile_and_ends_no_call() -> None:
    async with voice_call(repeats) as call:
        held = call.adapter.hold("restart")
        call.adapter.drop()
        await held.wait_reached()
        for _ in range(512):
            await call.session.hear_audio(bytes(960))
        said = UtteranceHandle(call.session.say("hello", None))
        await call.settle()
        states = [said.state]
        held.release()
        await time_passes(2)
        states.append(said.state)
        assert states == [UtteranceState.PLANNED, UtteranceState.PLAYED]


@in_virtual_time
async def test_over_webrtc_a_call_that_goes_on_is_joined_again() -> None:
    async with voice_call(repeats, transport="webrtc", answer=plays_at_the_provider) as call:
        call.adapter.drop()
        await time_passes(5)
        assert call.session.phase == "open"
        assert [c.method for c in call.adapter.calls].count("restart") == 1


@in_virtual_time
async def test_over_webrtc_a_call_that_is_gone_ends_the_session() -> None:
    async with voice_call(repeats, transport="webrtc", answer=plays_at_the_provider) as call:
        call.adapter.hold("restart").fail(ProviderError("no such call", reason=Reason.NOT_FOUND))
        call.adapter.drop()
        await call.session.ended()
        assert call.session.close_reason is CloseReason.PROVIDER_FAILURE


@in_virtual_time
async def test_a_call_that_is_joined_again_is_silenced_first_and_then_hears_the_rest() -> None:
    """The provider plays on until then, so what was heard is known only when it is joined."""
    words = "one two three four five six seven eight nine ten"
    async with voice_call(repeats, transport="webrtc", answer=plays_at_the_provider) as call:
        said = UtteranceHandle(call.session.say(words, None))
        await time_passes(1.0)
        held = call.adapter.hold("restart")
        call.adapter.drop()
        await held.wait_reached()
        await time_passes(0.5)
        held.release()
        await call.settle()
        (resumed,) = await call.of_kind(records.UtteranceResumed)
        assert resumed.heard_ms == 1_500
        first, rest = [frame.text or "" for frame in call.adapter.sent if isinstance(frame, SpeechFrame)]
        assert first == words
        assert f"{await call.text_of(resumed.heard_ref)} {rest}" == words
        await call.playback_ends()
        assert said.state is UtteranceState.PLAYED


@in_virtual_time
async def test_a_caller_who_hangs_up_at_the_provider_has_gone() -> None:
    async with voice_call(repeats, transport="webrtc", answer=plays_at_the_provider) as call:
        call.adapter.give(CallEnded())
        call.adapter.drop(ConnectionLost("the caller hung up", retryable=False))
        await call.session.ended()
        assert call.session.close_reason is CloseReason.CALLER_GONE


@in_virtual_time
@pytest.mark.parametrize("retryable", [True, False])
async def test_a_connection_that_will_not_come_back_ends_the_call(retryable: bool) -> None:
    async with voice_call(repeats) as call:
        if retryable:
            held = call.adapter.hold("restart")
            held.fail(ProviderError("no", reason=Reason.UNAVAILABLE))
        call.adapter.drop(ConnectionLost("gone", retryable=retryable))
        await call.session.ended()
        assert call.session.close_reason is CloseReason.PROVIDER_FAILURE


@in_virtual_time
async def test_a_connection_that_breaks_again_and_again_is_given_up() -> None:
    async with voice_call(repeats) as call:
        for _ in range(Limits().restarts_max):
            assert not call.session.is_over
            call.adapter.drop()
            await time_passes(5.0)  # longer than any back-off
        call.adapter.drop()
        await call.session.ended()
        assert call.session.close_reason is CloseReason.PROVIDER_FAILURE
        assert len(await call.of_kind(records.RestartCompleted)) == Limits().restarts_max


@in_virtual_time
async def test_a_provider_that_cannot_be_told_does_not_keep_the_call_open() -> None:
    async with voice_call(repeats) as call:
        call.adapter.hold("close").fail(ProviderError("no", reason=Reason.UNAVAILABLE))
        await call.session.close()
        assert call.session.phase == "failed"
        assert len(await call.of_kind(records.SessionFailed)) == 1


@in_virtual_time
async def test_a_call_that_ends_before_it_was_connected_says_so() -> None:
    async with voice_call(repeats, connect=False) as call:
        await call.session.close(CloseReason.CALLER_GONE)
        assert await call.story() == ["session_started", "session_ended"]


@in_virtual_time
async def test_a_refused_connection_may_be_tried_again() -> None:
    async with voice_call(repeats, connect=False) as call:
        call.adapter.hold("connect").fail(ProviderError("busy", reason=Reason.RATE_LIMITED, retryable=True))
        with pytest.raises(ProviderError):
            await call.session.connect()
        await call.session.connect()
        assert call.session.phase == "open"


@in_virtual_time
@pytest.mark.parametrize("gives_up", [True, False])
async def test_a_connection_of_which_nobody_knows_is_hung_up_at_once(gives_up: bool) -> None:
    async with voice_call(repeats, connect=False) as call:
        held = call.adapter.hold("connect")
        connecting = asyncio.create_task(call.session.connect())
        await held.wait_reached()
        if gives_up:
            connecting.cancel()
        else:
            held.lose()
        with pytest.raises((asyncio.CancelledError, ConnectionLost)):
            await connecting
        await call.session.ended()
        assert [c.method for c in call.adapter.calls] == ["connect", "close"]
        assert call.session.close_reason is CloseReason.PROVIDER_FAILURE


@in_virtual_time
async def test_a_journal_that_fails_in_mid_call_does_not_leave_the_microphone_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with voice_call(repeats) as call:
        await call.user_says("hello")
        with monkeypatch.context() as patch:
            patch.setattr(StoreRunWriter, "append", _refuses)
            with pytest.raises(JournalUnavailable):
                await call.session.close(CloseReason.CALLER_GONE)
            assert call.session.has_ended
        assert [adapter_call.method for adapter_call in call.adapter.calls].count("close") == 1
        assert not await call.of_kind(records.Closed, records.EmergencyClosed)
        await call.session.close()  # the disk is back
        (emergency,) = await call.of_kind(records.EmergencyClosed)
        assert emergency.told
        assert [adapter_call.method for adapter_call in call.adapter.calls].count("close") == 1


def _refuses(*_: object) -> None:
    raise JournalUnavailable("the disk is gone")
