"""What a session has besides its conversation: pictures, turns by hand, costs, limits, a foreseen end."""

# A bug is planted inside the classes, so this file reaches where no other may.
# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agentfield_adapters.scripted import silent
from agentfield_rt.agent import RealtimeSession, UtteranceHandle
from agentfield_rt.core import records
from agentfield_rt.errors import IllegalCommand, ProviderError, Reason
from agentfield_rt.frames import (
    IMAGE_BYTES_MAX,
    ConnectionExpiring,
    ImageFrame,
    InputRejected,
    RateLimit,
    RateLimitsReported,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    TurnEndFrame,
    Usage,
    UsageReported,
)
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.inputs import Inputs
from agentfield_rt.voice.link import UtteranceState
from agentfield_rt.voice.meter import Meter, total
from agentfield_rt.voice.reconnecting import Reconnecting
from agentfield_rt.voice.rollover import RollOver
from agentfield_rt.voice.speaking import Speaking
from tests.planting import Plant, Proof, noticed, prove
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import VoiceCall, speaks, voice_call

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
EXPIRING = ConnectionExpiring(300.0)


async def repeats(session: RealtimeSession) -> None:
    async for turn in session.turns():
        await session.say(turn.text)


# Pictures and turns by hand


@in_virtual_time
async def test_a_picture_is_written_down_before_it_is_sent_and_is_no_turn() -> None:
    async with voice_call(repeats) as call:
        image_id = await call.session.inputs.show(PNG, detail="low")
        (frame,) = call.adapter.sent
        assert frame == ImageFrame(image_id, PNG, "image/png", "low")
        written = await call.records()
        (image,) = (record for record in written if isinstance(record, records.ImageReceived))
        assert (image.frame_id, image.media_type, image.detail) == (image_id, "image/png", "low")
        assert await call.content.get(image.image_ref) == PNG
        sends = [record for record in written if isinstance(record, records.InputSendRequested)]
        assert written.index(image) < written.index(sends[-1])
        assert (sends[-1].media, sends[-1].frame_id, sends[-1].size_bytes) == ("image", image_id, len(PNG))
        assert not await call.of_kind(records.TurnStarted)


@in_virtual_time
async def test_what_is_no_picture_is_refused_and_leaves_no_trace() -> None:
    async with voice_call(repeats) as call:
        before = await call.records()
        for data in (b"", b"GIF89a", PNG + bytes(IMAGE_BYTES_MAX)):
            with pytest.raises(IllegalCommand, match="PNG or JPEG"):
                await call.session.inputs.show(data)
        assert await call.records() == before
        assert not call.adapter.sent


@in_virtual_time
async def test_what_is_given_before_there_is_a_connection_is_refused_and_leaves_no_trace() -> None:
    async with voice_call(repeats, connect=False) as call:
        before = await call.records()
        for giving in (call.session.inputs.show(PNG), call.session.inputs.end_turn()):
            with pytest.raises(IllegalCommand, match="connect it first"):
                await giving
        assert await call.records() == before


@in_virtual_time
async def test_a_turn_that_ends_by_hand_comes_with_its_words() -> None:
    async with voice_call(repeats, answer=speaks(audio_ms=100)) as call:
        await call.session.hear_audio(bytes(960))
        await call.session.inputs.end_turn()
        assert isinstance(call.adapter.sent[-1], TurnEndFrame)
        await call.user_stops("two coffees")
        await time_passes(2)
        (turn,) = await call.of_kind(records.TurnStarted)
        assert turn.spoken_until_ns is not None
        assert len(await call.of_kind(records.UtterancePlayed)) == 1


# Costs and limits


COST = Usage(input_tokens=10, output_tokens=4, output_audio_tokens=4)


@in_virtual_time
async def test_costs_are_written_down_without_a_word_and_added_up() -> None:
    async with voice_call(repeats) as call:
        call.adapter.give(UsageReported(COST, "resp_1"), UsageReported(Usage(audio_ms=1_500)))
        call.adapter.give(RateLimitsReported((RateLimit("tokens", 100, 90, 1.5),)))
        await call.settle()
        first, second = await call.of_kind(records.UsageRecorded)
        assert (first.response_id, first.input_tokens, first.output_audio_tokens) == ("resp_1", 10, 4)
        assert (second.response_id, second.audio_ms) == (None, 1_500)
        assert call.session.meter.usage == replace(COST, audio_ms=1_500)
        assert call.session.meter.rate_limits == (RateLimit("tokens", 100, 90, 1.5),)


@in_virtual_time
async def test_a_handler_learns_that_its_answer_was_throttled() -> None:
    for reason in (Reason.RATE_LIMITED, None):
        async with voice_call(repeats, answer=silent) as call:
            said = UtteranceHandle(call.session.say("hello", None))
            await call.settle()
            call.adapter.give(
                ResponseStarted("r", said.id), ResponseEnded("r", ResponseStatus.FAILED, reason)
            )
            await call.settle()
            assert (said.state, said.reason) == (UtteranceState.FAILED, reason or Reason.UNAVAILABLE)


def test_costs_go_on_where_a_process_died() -> None:
    before = [records.UsageRecorded(response_id="r", input_tokens=3), records.TurnCompleted(op_id="t")]
    meter = Meter(lambda record: None, before)
    meter.handle(UsageReported(COST, "r2"))
    assert meter.usage == replace(COST, input_tokens=13)
    assert total([]) == Usage()


# The end of the provider's session


async def restarts(call: VoiceCall) -> list[Reason]:
    return [record.reason for record in await call.of_kind(records.RestartRequested)]


@in_virtual_time
async def test_a_connection_near_its_end_is_replaced_at_once_where_nobody_speaks() -> None:
    async with voice_call(repeats) as call:
        call.adapter.give(EXPIRING)
        await time_passes(1)
        assert await restarts(call) == [Reason.SESSION_EXPIRED]
        assert len(await call.of_kind(records.RestartCompleted)) == 1
        assert not await call.of_kind(records.ConnectionLost)


@in_virtual_time
async def test_the_agent_says_what_it_is_saying_first() -> None:
    async with voice_call(repeats, answer=speaks(audio_ms=2_000)) as call:
        said = [UtteranceHandle(call.session.say(text, None)) for text in ("one two", "three four")]
        await time_passes(1)
        call.adapter.give(EXPIRING)
        await time_passes(2)
        assert await restarts(call) == [], "between two sentences is no pause"
        await time_passes(3)
        assert [handle.state for handle in said] == [UtteranceState.PLAYED] * 2
        assert await restarts(call) == [Reason.SESSION_EXPIRED]
        asked = [frame.text for frame in call.adapter.sent if isinstance(frame, SpeechFrame)]
        assert asked == ["one two", "three four"]


@in_virtual_time
async def test_a_user_who_speaks_is_heard_and_answered_first() -> None:
    async with voice_call(repeats, answer=speaks(audio_ms=500)) as call:
        await call.user_starts()
        call.adapter.give(EXPIRING)
        await time_passes(5)
        assert await restarts(call) == []
        await call.user_stops("are you there")
        assert await restarts(call) == [], "the answer is due"
        await time_passes(2)
        assert len(await call.of_kind(records.UtterancePlayed)) == 1
        assert await restarts(call) == [Reason.SESSION_EXPIRED]


@in_virtual_time
async def test_words_that_are_still_to_come_are_waited_for() -> None:
    async with voice_call(repeats) as call:
        await call.session.hear_audio(bytes(960))
        await call.session.inputs.end_turn()
        call.adapter.give(EXPIRING)
        await time_passes(5)
        assert await restarts(call) == []


@in_virtual_time
async def test_no_words_are_waited_for_of_a_turn_that_was_too_short_to_be_one() -> None:
    async with voice_call(repeats) as call:
        await call.session.inputs.end_turn()
        frame = call.adapter.sent[-1]
        call.adapter.give(EXPIRING)
        await time_passes(5)
        assert await restarts(call) == []
        call.adapter.give(InputRejected(frame.frame_id, is_turn=False))
        await time_passes(1)
        assert await restarts(call) == [Reason.SESSION_EXPIRED]
        assert not await call.of_kind(records.TurnStarted), "it is no turn that the handler must answer"


@in_virtual_time
async def test_no_words_are_waited_for_of_a_turn_whose_end_was_never_sent() -> None:
    async with voice_call(repeats) as call:
        call.adapter.hold("send").fail(ProviderError("no", reason=Reason.INVALID_REQUEST))
        with pytest.raises(ProviderError):
            await call.session.inputs.end_turn()
        call.adapter.give(EXPIRING)
        await time_passes(1)
        assert await restarts(call) == [Reason.SESSION_EXPIRED]


@in_virtual_time
async def test_a_turn_that_is_refused_before_its_end_is_known_to_be_sent_is_not_waited_for() -> None:
    async with voice_call(repeats) as call:
        held = call.adapter.hold("send")
        ending = asyncio.create_task(call.session.inputs.end_turn())
        await held.wait_reached()
        asked = (await call.of_kind(records.InputSendRequested))[-1]
        call.adapter.give(InputRejected(asked.frame_id, is_turn=False))
        await call.settle()
        held.release()
        await ending
        call.adapter.give(EXPIRING)
        await time_passes(1)
        assert await restarts(call) == [Reason.SESSION_EXPIRED]


@in_virtual_time
async def test_a_connection_that_was_lost_meanwhile_is_not_replaced_again() -> None:
    async with voice_call(repeats) as call:
        await call.user_starts()
        call.adapter.give(EXPIRING)
        await call.settle()
        call.adapter.drop()
        await time_passes(5)
        assert await restarts(call) == [Reason.CONNECTION_LOST]


@in_virtual_time
async def test_a_connection_that_is_lost_while_it_is_replaced_is_replaced_once() -> None:
    async with voice_call(repeats, answer=speaks(audio_ms=200)) as call:
        held = call.adapter.hold("restart")
        call.adapter.give(EXPIRING)
        await call.settle()
        call.adapter.drop()
        await call.settle()
        held.release()
        await time_passes(10)
        assert await restarts(call) == [Reason.SESSION_EXPIRED]
        said = UtteranceHandle(call.session.say("still here", None))
        await time_passes(2)
        assert said.state is UtteranceState.PLAYED


@in_virtual_time
async def test_a_session_that_ends_first_leaves_nobody_waiting() -> None:
    async with voice_call(repeats) as call:
        await call.user_starts()
        call.adapter.give(EXPIRING)
        await call.settle()


@in_virtual_time
async def test_a_call_between_browser_and_provider_is_left_alone() -> None:
    async with voice_call(repeats, transport="webrtc") as call:
        call.adapter.give(EXPIRING)
        await time_passes(5)
        assert await restarts(call) == []
        assert not call.session.is_over


@in_virtual_time
async def test_a_replacement_that_fails_ends_the_session_as_any_other() -> None:
    async with voice_call(repeats) as call:
        for _ in range(20):
            call.adapter.hold("restart").fail(
                ProviderError("refused", reason=Reason.UNAUTHORIZED, retryable=False)
            )
        call.adapter.give(EXPIRING)
        await time_passes(120)
        assert call.session.is_over


@in_virtual_time
async def test_speech_over_an_answer_stops_it_unless_the_session_says_otherwise() -> None:
    for interrupts in (True, False):
        async with voice_call(repeats, answer=speaks(audio_ms=2_000)) as call:
            detection = call.session.spec.config.turn_detection
            assert detection is not None
            detection["interrupt_response"] = interrupts
            said = UtteranceHandle(call.session.say("one two three four", None))
            await time_passes(1)
            call.adapter.give(SpeechStarted("item_user"))
            await time_passes(2)
            assert said.state is (UtteranceState.INTERRUPTED if interrupts else UtteranceState.PLAYED)


# The proofs bite.


def _in_mid_speech(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Conversation, "is_quiet", property(lambda self: True))


def _before_the_words(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Speaking, "ended_by_hand", lambda self, frame_id: None)


def _replaced_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RollOver, "_is_there", lambda self, generation: True)
    _not_in_turn(patch)


def _not_in_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reconnecting, "reconnect", Reconnecting._replace)


def _costs_not_added(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("agentfield_rt.voice.meter.total", lambda costs: [Usage(), *costs][-1])


def _sent_before_written(patch: pytest.MonkeyPatch) -> None:
    original = Inputs.show

    async def show(self: Inputs, data: bytes, *, detail: Any = None) -> str:
        await self._send(ImageFrame("img", data, "image/png", detail))
        return await original(self, data, detail=detail)

    patch.setattr(Inputs, "show", show)


def _always_interrupts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("agentfield_rt.voice.conversation.interrupts", lambda detection: True)


PLANTED: dict[str, tuple[Plant, Proof]] = {
    "replaced in mid-speech": (_in_mid_speech, test_the_agent_says_what_it_is_saying_first),
    "replaced before the words came": (_before_the_words, test_words_that_are_still_to_come_are_waited_for),
    "replaced though it is another": (
        _replaced_twice,
        test_a_connection_that_was_lost_meanwhile_is_not_replaced_again,
    ),
    "two replacements at once": (
        _not_in_turn,
        test_a_connection_that_is_lost_while_it_is_replaced_is_replaced_once,
    ),
    "costs are not added up": (
        _costs_not_added,
        test_costs_are_written_down_without_a_word_and_added_up,
    ),
    "a picture is sent before it is written down": (
        _sent_before_written,
        test_a_picture_is_written_down_before_it_is_sent_and_is_no_turn,
    ),
    "speech stops an answer whatever was asked": (
        _always_interrupts,
        test_speech_over_an_answer_stops_it_unless_the_session_says_otherwise,
    ),
}


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_planted_bug_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, proof = PLANTED[wrong]
    with noticed(plant, monkeypatch, AssertionError, ValueError):
        prove(proof)
