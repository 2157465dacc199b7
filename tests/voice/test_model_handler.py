"""Where no handler answers, the model does: its turns, tools and answers are as with a handler."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from agentfield_rt.core import records
from agentfield_rt.core.records import TurnSource
from agentfield_rt.errors import CloseReason, Reason
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
    SpeechStarted,
    SpeechStopped,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
)
from agentfield_rt.ports import SessionConfig
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import Desk, VoiceCall, speech, voice_call

CONFIG = SessionConfig(
    turn_detection={"type": "server_vad", "silence_duration_ms": 320}, create_response=True
)


def own(response_id: str = "own_1", *, words: str = "it is noon ", frames: int = 3) -> list[ProviderEvent]:
    """An answer that nobody asked for, up to its last word."""
    item_id = f"item_{response_id}"
    audio = [OutputAudio(response_id, item_id, bytes(FRAME_BYTES)) for _ in range(frames)]
    return [ResponseStarted(response_id), OutputTranscript(response_id, item_id, words), *audio]


def ends(response_id: str = "own_1", status: ResponseStatus = ResponseStatus.COMPLETED) -> ResponseEnded:
    return ResponseEnded(response_id, status)


def model(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    """Speaks when asked to, and goes on when a tool has returned or the connection is a new one."""
    match frame:
        case SpeechFrame("owed"):
            yield from own(response_id, words="and so on ")
        case SpeechFrame():
            yield from speech(frame, response_id, audio_ms=60)
        case ToolResultFrame():
            yield from own(response_id, words="the tool says so ")
        case _:
            return
    yield ends(response_id)


def call(**more: Any) -> Any:
    return voice_call(config=CONFIG, answer=model, **more)


async def outcomes(call: VoiceCall) -> list[tuple[str, str]]:
    ends = await call.of_kind(records.TurnCompleted, records.TurnFailed)
    return [(record.op_id, record.kind) for record in ends]


@in_virtual_time
async def test_a_turn_is_completed_when_the_models_answer_to_it_was_heard() -> None:
    async with call() as voice:
        await voice.user_says("what time is it")
        voice.adapter.give(*own(frames=10))
        await time_passes(0.05)
        assert not await outcomes(voice), "it is still heard"
        voice.adapter.give(ends())
        await time_passes(1)
        [turn] = await voice.of_kind(records.TurnStarted)
        assert await outcomes(voice) == [(turn.op_id, "turn_completed")]
        [heard] = await voice.of_kind(records.ResponseHeard)
        assert (heard.turn_id, await voice.text_of(heard.heard_ref)) == (turn.op_id, "it is noon")
        assert not voice.adapter.sent, "the model was asked for nothing"


@in_virtual_time
async def test_words_that_come_after_the_answer_are_a_turn_that_is_answered() -> None:
    async with call() as voice:
        voice.adapter.give(SpeechStarted("item_1"), SpeechStopped("item_1"), *own(), ends())
        await time_passes(1)
        voice.adapter.give(InputTranscript("item_1", "what time is it", final=True))
        await time_passes(1)
        [turn] = await voice.of_kind(records.TurnStarted)
        [heard] = await voice.of_kind(records.ResponseHeard)
        assert heard.turn_id == turn.op_id
        assert await outcomes(voice) == [(turn.op_id, "turn_completed")]


@in_virtual_time
async def test_the_model_is_asked_to_answer_what_was_typed() -> None:
    async with call() as voice:
        turn_id = await voice.session.hear_text("what time is it")
        await time_passes(1)
        text, asked = voice.adapter.sent
        assert isinstance(text, TextFrame)
        assert isinstance(asked, SpeechFrame)
        assert (asked.text, bool(asked.instructions)) == (None, True)
        [turn] = await voice.of_kind(records.TurnStarted)
        assert (turn.op_id, turn.source) == (turn_id, TurnSource.TEXT)
        assert await outcomes(voice) == [(turn_id, "turn_completed")]
        assert [await voice.of_kind(records.UtterancePlayed)]


@in_virtual_time
async def test_a_tool_hangs_below_the_turn_that_called_it_also_when_its_words_are_late() -> None:
    desk = Desk(look_up=lambda: "noon")
    async with call(desk=desk, tools={"look_up": "node.look_up"}) as voice:
        voice.adapter.give(SpeechStarted("item_1"), SpeechStopped("item_1"), ResponseStarted("own_1"))
        voice.adapter.give(ToolCalled("own_1", "call_1", "look_up", "{}"), ends())
        await time_passes(1)
        voice.adapter.give(InputTranscript("item_1", "what time is it", final=True))
        await time_passes(1)
        [turn] = await voice.of_kind(records.TurnStarted)
        assert [request.turn_id for request in desk.requests] == [turn.op_id]
        heard = await voice.of_kind(records.ResponseHeard)
        assert await voice.text_of(heard[-1].heard_ref) == "the tool says so"
        assert await outcomes(voice) == [(turn.op_id, "turn_completed")]


@in_virtual_time
async def test_a_turn_is_not_over_while_its_tool_runs() -> None:
    desk = Desk(look_up=lambda: "noon")
    desk.trouble(after_s=5.0)
    async with call(desk=desk, tools={"look_up": "node.look_up"}) as voice:
        await voice.user_says("what time is it")
        voice.adapter.give(ResponseStarted("own_1"), ToolCalled("own_1", "call_1", "look_up", "{}"), ends())
        await time_passes(4)
        assert not await outcomes(voice)
        await time_passes(3)
        assert [kind for _, kind in await outcomes(voice)] == ["turn_completed"]


@in_virtual_time
async def test_whoever_speaks_over_the_answer_stops_it_and_gets_another() -> None:
    async with call() as voice:
        await voice.user_says("count to a hundred")
        voice.adapter.give(*own(frames=100))
        await time_passes(0.3)
        await voice.user_starts()
        assert voice.listener.cleared == 1
        await voice.user_stops("stop that")
        voice.adapter.give(*own("own_2"), ends("own_2"))
        await time_passes(1)
        first, second = await voice.of_kind(records.TurnStarted)
        assert await outcomes(voice) == [(first.op_id, "turn_completed"), (second.op_id, "turn_completed")]
        cut, whole = await voice.of_kind(records.ResponseHeard)
        assert (cut.turn_id, whole.turn_id) == (first.op_id, second.op_id)
        assert cut.heard_ms < 500


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
@in_virtual_time
async def test_what_the_model_says_by_itself_can_be_interrupted(transport: str) -> None:
    async with call(transport=transport) as voice:
        await voice.user_says("count to a hundred")
        voice.adapter.give(*own(frames=100 if transport == "websocket" else 0))
        if transport == "webrtc":
            voice.adapter.give(PlaybackStarted("own_1"))
        await time_passes(0.3)
        await voice.session.interrupt()
        if transport == "webrtc":
            voice.adapter.give(PlaybackStopped("own_1", cleared=True))
        await time_passes(0.1)
        assert [kind for _, kind in await outcomes(voice)] == ["turn_completed"]
        assert "interrupt" in [each.method for each in voice.adapter.calls]


@in_virtual_time
async def test_over_webrtc_a_response_without_a_word_is_over_when_it_ends() -> None:
    """Nobody reports a playback of a response that only called a tool, or that failed before it was heard."""
    async with call(transport="webrtc") as voice:
        for number, status in enumerate((ResponseStatus.COMPLETED, ResponseStatus.CANCELLED)):
            await voice.user_says("hello")
            voice.adapter.give(ResponseStarted(f"own_{number}"), ends(f"own_{number}", status))
            await time_passes(1)
        assert [kind for _, kind in await outcomes(voice)] == ["turn_completed"] * 2


@in_virtual_time
async def test_a_lost_connection_takes_up_the_answer_and_the_turn_goes_on() -> None:
    async with call() as voice:
        await voice.user_says("tell me more")
        voice.adapter.give(*own(frames=100))
        await time_passes(0.5)
        voice.adapter.drop()
        await time_passes(0.01)
        assert not await outcomes(voice), "the rest of it is to come"
        await time_passes(3)
        broken, rest = await voice.of_kind(records.ResponseHeard)
        assert (broken.lost, rest.lost) == (True, False)
        assert await voice.text_of(rest.heard_ref) == "and so on"
        assert [kind for _, kind in await outcomes(voice)] == ["turn_completed"]


@in_virtual_time
async def test_a_turn_that_the_lost_connection_left_unanswered_is_answered_on_the_next() -> None:
    async with call() as voice:
        await voice.user_says("tell me more")
        voice.adapter.drop()
        await time_passes(3)
        [heard] = await voice.of_kind(records.ResponseHeard)
        assert await voice.text_of(heard.heard_ref) == "and so on"
        assert [kind for _, kind in await outcomes(voice)] == ["turn_completed"]


@in_virtual_time
async def test_a_model_that_fails_three_times_in_a_row_ends_the_call_as_a_handler_would() -> None:
    async with call(apology="sorry") as voice:
        for number in range(3):
            await voice.user_says("hello")
            voice.adapter.give(ResponseStarted(f"own_{number}"), ends(f"own_{number}", ResponseStatus.FAILED))
            await time_passes(2)
        await voice.session.ended()
        failed = await voice.of_kind(records.TurnFailed)
        assert [record.reason for record in failed] == [Reason.HANDLER_ERROR] * 3
        assert voice.session.close_reason is CloseReason.HANDLER_FAILURE
        assert len([frame for frame in voice.adapter.sent if isinstance(frame, SpeechFrame)]) == 2


@in_virtual_time
async def test_a_model_that_says_nothing_for_too_long_fails_its_turn() -> None:
    async with call(apology="sorry") as voice:
        await voice.user_says("hello")
        await time_passes(301)
        [failed] = await voice.of_kind(records.TurnFailed)
        assert failed.reason is Reason.TIMEOUT


@in_virtual_time
async def test_hanging_up_while_the_model_speaks_completes_its_turn() -> None:
    async with call() as voice:
        await voice.user_says("hello")
        voice.adapter.give(*own(frames=100))
        await time_passes(0.2)
        await voice.session.close()
        assert [kind for _, kind in await outcomes(voice)] == ["turn_completed"]


@in_virtual_time
async def test_hanging_up_before_the_model_answers_fails_the_turn() -> None:
    async with call() as voice:
        await voice.user_says("hello")
        await voice.session.close()
        assert [kind for _, kind in await outcomes(voice)] == ["turn_failed"]


@in_virtual_time
async def test_readers_see_what_the_model_says_and_that_it_is_quiet_then() -> None:
    seen: list[dict[str, Any]] = []
    async with call() as voice:
        feed = voice.session.live.subscribe()
        first = feed.__anext__
        await voice.user_says("hello")
        voice.adapter.give(*own(), ends())

        async def read() -> None:
            while True:
                seen.append(await first())

        reading = asyncio.create_task(read())
        await voice.user_says("and")
        voice.adapter.give(*own("own_2"), ends("own_2"))
        await time_passes(1)
        reading.cancel()
        await asyncio.wait([reading])
        await feed.aclose()
    assert {"type": "saying", "response_id": "own_2", "text": "it is noon"} in seen
    assert [event["agent"] for event in seen if event["type"] == "state"][-3:] == [
        "thinking",
        "speaking",
        "idle",
    ]
