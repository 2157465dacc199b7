"""What the user says reaches the handler once, in order, whatever the handler does with it."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

import asyncio
from typing import Any

import pytest

from agentfield_rt.agent import RealtimeSession, UtteranceHandle
from agentfield_rt.core import records
from agentfield_rt.core.records import TurnSource
from agentfield_rt.errors import CloseReason, ExecutionFailed, IllegalCommand, Reason, SessionClosed
from agentfield_rt.frames import InputRejected, InputTranscript
from agentfield_rt.voice.link import Turn, UtteranceState
from agentfield_rt.voice.turns import Turns
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import RUN_ID, Desk, VoiceCall, voice_call


async def repeats(session: RealtimeSession) -> None:
    async for turn in session.turns():
        await session.say(f"you said {turn.text}")


@in_virtual_time
async def test_a_turn_goes_to_the_handler_to_a_reasoner_and_back_to_the_ear() -> None:
    async def handler(session: RealtimeSession) -> None:
        async for turn in session.turns():
            result = await session.call("node.answer", turn=turn)
            await session.say(result["spoken"])

    desk = Desk(answer=lambda turn: {"spoken": f"about {turn['text']}: yes"})
    async with voice_call(handler, desk=desk) as call:
        await call.user_says("my order")
        await time_passes(1)
        assert desk.requests[0].arguments["turn"]["text"] == "my order"
        assert (desk.requests[0].run_id, desk.requests[0].session_id) == (
            call.session.run_id,
            call.session.session_id,
        )
        turn = (await call.of_kind(records.TurnStarted))[0]
        assert desk.requests[0].turn_id == turn.op_id
        assert await call.text_of(turn.text_ref) == "my order"
        played = (await call.of_kind(records.UtterancePlayed))[0]
        assert await call.text_of(played.heard_ref) == "about my order: yes"
        assert call.listener.played_bytes == 20 * 960
        await call.session.close()
        assert await call.story() == [
            "session_started",
            "turn_started",
            "utterance_requested",
            "utterance_started",
            "utterance_played",
            "turn_completed",
            "session_ended",
        ]


@in_virtual_time
async def test_the_guides_one_shot_handler_answers_every_turn() -> None:
    async def voice(session: RealtimeSession) -> None:
        turn = await session.input()
        result = await session.call("node.resolve_turn", turn=turn)
        await session.say(result["spoken_response"])

    desk = Desk(resolve_turn=lambda turn: {"spoken_response": turn["text"]})
    async with voice_call(voice, desk=desk) as call:
        for text in ("one", "two", "three"):
            await call.user_says(text)
            await time_passes(1)
        assert [request.arguments["turn"]["text"] for request in desk.requests] == ["one", "two", "three"]
        assert len(await call.of_kind(records.TurnCompleted)) == 3


@in_virtual_time
async def test_a_handler_that_never_asks_for_a_turn_neither_spins_nor_hangs_the_process() -> None:
    runs = 0

    async def greets(session: RealtimeSession) -> None:
        nonlocal runs
        runs += 1
        session.say("hello")

    async with voice_call(greets) as call:
        for number in range(3):
            await call.user_says(f"turn {number}")
            await time_passes(1)
        assert runs <= 4
        assert len(await call.of_kind(records.TurnFailed)) == 3


@in_virtual_time
async def test_turns_wait_for_a_busy_handler_and_come_in_order() -> None:
    heard: list[str] = []
    go_on = asyncio.Event()

    async def slow(session: RealtimeSession) -> None:
        async for turn in session.turns():
            heard.append(turn.text)
            await go_on.wait()

    async with voice_call(slow) as call:
        for text in ("one", "two", "three"):
            await call.user_says(text)
        assert heard == ["one"]
        go_on.set()
        await call.settle()
        assert heard == ["one", "two", "three"]


@in_virtual_time
async def test_a_handler_far_behind_loses_the_oldest_turns_and_the_journal_says_so() -> None:
    async def stuck(session: RealtimeSession) -> None:
        await session.input()
        await asyncio.Event().wait()

    async with voice_call(stuck) as call:
        for number in range(40):
            await call.user_says(f"turn {number}")
        lost = await call.of_kind(records.TurnFailed)
        assert len(lost) == 40 - 1 - 32
        assert {record.reason for record in lost} == {Reason.UNAVAILABLE}


@in_virtual_time
async def test_speech_that_was_not_understood_is_a_turn_without_text() -> None:
    turns: list[Turn] = []

    async def listens(session: RealtimeSession) -> None:
        async for turn in session.turns():
            turns.append(turn)

    async with voice_call(listens) as call:
        call.adapter.give(InputRejected("item_1"))
        call.adapter.give(InputTranscript("item_2", "  ", final=True))
        await call.settle()
        assert [(turn.text, turn.understood) for turn in turns] == [("", False), ("", False)]


@in_virtual_time
async def test_a_typed_turn_interrupts_what_is_being_said() -> None:
    handles: list[UtteranceHandle] = []
    sources: list[TurnSource] = []

    async def handler(session: RealtimeSession) -> None:
        handles.append(session.say("a long story " * 20))
        async for turn in session.turns():
            sources.append(turn.source)

    async with voice_call(handler) as call:
        await time_passes(0.2)
        assert [handle.state for handle in handles] == [UtteranceState.PLAYING]
        turn_id = await call.session.hear_text("stop")
        await call.settle()
        assert handles[0].state is UtteranceState.INTERRUPTED
        assert sources == [TurnSource.TEXT]
        assert turn_id in [record.op_id for record in await call.of_kind(records.TurnStarted)]


@in_virtual_time
async def test_a_typed_turn_is_stored_by_the_time_its_id_is_known() -> None:
    async with voice_call(None) as call:
        turn_id = await call.session.hear_text("hello")
        stored = [envelope.op_id for envelope in await call.journal.read(RUN_ID)]
        assert turn_id in stored


@in_virtual_time
async def test_typing_is_refused_before_the_call_and_after_it() -> None:
    async with voice_call(repeats, connect=False) as call:
        with pytest.raises(IllegalCommand):
            await call.session.hear_text("hello")
    with pytest.raises(SessionClosed, match="is over; start a new one"):
        await call.session.hear_text("hello")


@in_virtual_time
@pytest.mark.parametrize("error", [ValueError, SystemExit])
async def test_a_handler_that_raises_fails_its_turn_and_apologises_and_takes_the_next(
    error: type[BaseException],
) -> None:
    async def fragile(session: RealtimeSession) -> None:
        async for turn in session.turns():
            if turn.text == "bad":
                raise error(turn.text)
            await session.say("fine")

    async with voice_call(fragile, apology="sorry") as call:
        await call.user_says("bad")
        await time_passes(1)
        await call.user_says("good")
        await time_passes(1)
        assert not call.session.is_over
        assert [record.reason for record in await call.of_kind(records.TurnFailed)] == [Reason.HANDLER_ERROR]
        said = await call.of_kind(records.UtterancePlayed)
        assert [await call.text_of(record.heard_ref) for record in said] == ["sorry", "fine"]


@in_virtual_time
async def test_a_handler_that_fails_three_times_in_a_row_ends_the_call() -> None:
    async def broken(session: RealtimeSession) -> None:
        await session.input()
        raise ValueError

    async with voice_call(broken) as call:
        for number in range(3):
            assert not call.session.is_over
            await call.user_says(f"turn {number}")
        await call.session.ended()
        assert call.session.close_reason is CloseReason.HANDLER_FAILURE


@in_virtual_time
async def test_failures_with_answers_in_between_do_not_add_up() -> None:
    async def moody(session: RealtimeSession) -> None:
        async for turn in session.turns():
            if turn.text == "bad":
                raise ValueError

    async with voice_call(moody) as call:
        for text in ("bad", "bad", "good", "bad", "bad", "good"):
            await call.user_says(text)
        assert not call.session.is_over


@in_virtual_time
async def test_a_handler_may_hang_up_and_is_cancelled_at_its_next_await() -> None:
    after: list[str] = []

    async def hangs_up(session: RealtimeSession) -> None:
        await session.input()
        await session.close()
        after.append("after close")
        await asyncio.Event().wait()
        after.append("never")

    async with voice_call(hangs_up) as call:
        await call.user_says("bye")
        await call.session.ended()
        assert after == ["after close"]
        assert call.session.close_reason is CloseReason.NORMAL


@in_virtual_time
async def test_a_handler_that_will_not_stop_does_not_keep_the_call_open() -> None:
    released = asyncio.Event()

    async def stubborn(session: RealtimeSession) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async with voice_call(stubborn) as call:
        await call.session.close()
        assert call.session.phase == "closed"
        released.set()
        await call.settle()


@in_virtual_time
async def test_two_closers_wait_for_the_same_end() -> None:
    async with voice_call(repeats) as call:
        held = call.adapter.hold("close")
        closers = [asyncio.create_task(call.session.close(reason)) for reason in CloseReason]
        await call.settle()
        assert not any(closer.done() for closer in closers)
        held.release()
        await asyncio.gather(*closers)
        assert len(await call.of_kind(records.SessionEnded)) == 1
        assert call.session.close_reason is CloseReason.NORMAL


@in_virtual_time
async def test_what_the_handler_awaits_ends_with_the_call() -> None:
    ends: list[Any] = []

    async def waits(session: RealtimeSession) -> None:
        ends.append([turn async for turn in session.turns()])
        with pytest.raises(SessionClosed):
            session.say("too late")

    async with voice_call(waits) as call:
        await call.session.close()
        with pytest.raises(SessionClosed):
            call.session.say("too late")
        with pytest.raises(SessionClosed):
            await call.session.connect()


@in_virtual_time
async def test_a_turn_waits_for_those_that_were_recorded_before_it() -> None:
    turns = Turns(lambda record, turn_id: None, lambda text: "ref")
    typed, spoken = Turn("turn-1", "typed", source=TurnSource.TEXT), Turn("turn-2", "spoken")
    turns.record(typed, spoken_until_ns=None)
    turns.commit(spoken, spoken_until_ns=1)
    assert not turns.any_waiting
    turns.hand_out(typed)
    assert [await turns.next(), await turns.next()] == [typed, spoken]


@in_virtual_time
async def test_a_failing_call_raises_in_the_handler_with_its_reason() -> None:
    reasons: list[Reason] = []

    async def handler(session: RealtimeSession) -> None:
        async for _ in session.turns():
            with pytest.raises(ExecutionFailed) as caught:
                await session.call("node.nothing")
            reasons.append(caught.value.reason)

    async with voice_call(handler) as call:
        await call.user_says("go")
        assert reasons == [Reason.NOT_FOUND]


@in_virtual_time
async def test_nothing_that_was_said_typed_or_played_is_in_the_journal() -> None:
    async def handler(session: RealtimeSession) -> None:
        async for turn in session.turns():
            await session.call("node.echo", text="SENTINEL-argument")
            await session.say("SENTINEL-spoken")
            if turn.text.endswith("typed"):
                raise ValueError("SENTINEL-error")

    desk = Desk(echo=lambda text: text)
    async with voice_call(handler, desk=desk, apology="SENTINEL-apology") as call:
        await call.user_says("SENTINEL-heard")
        await time_passes(2)
        await call.session.hear_text("SENTINEL-typed")
        await time_passes(2)
    stored = b"".join(stored_bytes(call))
    assert len(stored) > 1_000
    assert b"SENTINEL" not in stored


def stored_bytes(call: VoiceCall) -> list[bytes]:
    """Every stored byte of the run."""
    return [row[1] for row in call.journal.store.page(call.session.run_id, 0, 10_000).rows]
