"""Handlers that raise, hang, return, or do not stop, each with the outcome that is declared for it."""

import asyncio
import contextlib
from typing import Any

import pytest

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.errors import CloseReason, Reason, SessionClosed
from agentfield_rt.testing.call_rules import CallStage, performance
from agentfield_rt.testing.virtual_time import time_passes
from agentfield_rt.voice.link import UtteranceState
from agentfield_rt.voice.turns import ANSWER_WITHIN_S, WAITING_MAX
from tests.voice.scenarios import OUTPUT, PLACE, sink
from tests.voice.scene import broken, converses, scene
from tests.voice.throws import Thrown, Throws

Ends = list[tuple[str, str | None]]


def ends_of_turns(stage: CallStage) -> Ends:
    """How each turn ended, and why."""
    closers = stage.of_kind(records.TurnCompleted, records.TurnFailed)
    return [(type(closer).__name__, getattr(closer, "reason", None)) for closer in closers]


COMPLETED = ("TurnCompleted", None)
BROKEN = ("TurnFailed", Reason.HANDLER_ERROR)
CANCELLED = ("TurnFailed", Reason.CANCELLED)


# F50: it raises.


GATHERED = BaseExceptionGroup("what some task groups raise", [asyncio.CancelledError()])


@pytest.mark.parametrize(
    "error", [Thrown, SystemExit, TimeoutError, asyncio.CancelledError, SessionClosed, GATHERED]
)
def test_whatever_a_handler_raises_in_a_turn_fails_that_turn_and_the_next_is_answered(
    error: type[BaseException] | BaseException,
) -> None:
    """A cancelled thing that it awaits is none of its own cancellation, nor another session's end its own."""

    async def moody(session: RealtimeSession) -> None:
        async for turn in session.turns():
            if turn.text == "bad":
                raise error
            await session.say("fine")

    with performance(scene(moody)) as stage:
        stage.user_says("bad")
        stage.user_says("good")
        assert ends_of_turns(stage) == [BROKEN, COMPLETED]
        assert not stage.session.is_over
        assert [utterance.state for utterance in stage.session.said] == [UtteranceState.PLAYED]


def test_a_handler_that_raises_at_any_of_its_awaits_fails_the_turn_it_has_and_answers_the_next() -> None:
    for at in range(200):
        throws = Throws(at)
        with performance(scene(broken(converses, throws))) as stage:
            stage.user_says()
            stage.user_says()
            stage.user_says()
            failed = ends_of_turns(stage).count(BROKEN)
            assert failed <= 1, "one error fails one turn"
            assert not stage.session.is_over
            assert stage.session.said[-1].state is UtteranceState.PLAYED
        if not throws.thrown:
            return
    raise AssertionError("the handler never comes to an end")


def test_a_handler_that_raises_again_and_again_ends_the_call_for_that_reason() -> None:
    async def broken(session: RealtimeSession) -> None:
        await session.input()
        raise Thrown

    with performance(scene(broken)) as stage:
        for _ in range(3):
            stage.user_says()
        assert stage.session.close_reason is CloseReason.HANDLER_FAILURE
        assert ends_of_turns(stage) == [BROKEN] * 3


# It returns early, or never asks.


def test_a_handler_that_returns_has_answered_and_is_run_again_for_the_next_turn() -> None:
    async def one_shot(session: RealtimeSession) -> None:
        await session.input()

    with performance(scene(one_shot)) as stage:
        stage.user_says()
        stage.user_says()
        assert ends_of_turns(stage) == [COMPLETED] * 2


def test_a_handler_that_returns_without_asking_passes_its_turns_over_and_they_fail() -> None:
    async def idle(session: RealtimeSession) -> None:
        pass

    with performance(scene(idle)) as stage:
        stage.user_says()
        stage.user_says()
        assert ends_of_turns(stage) == [BROKEN] * 2
        assert not stage.session.is_over


def test_turns_that_a_handler_never_asks_for_fail_the_oldest_first_and_at_the_end_the_rest() -> None:
    async def deaf(session: RealtimeSession) -> None:
        await asyncio.Event().wait()

    with performance(scene(deaf)) as stage:
        for _ in range(WAITING_MAX + 2):
            stage.user_says(then_s=0)
        assert ends_of_turns(stage) == [("TurnFailed", Reason.UNAVAILABLE)] * 2
    assert ends_of_turns(stage).count(CANCELLED) == WAITING_MAX


# F51: it hangs.


def test_a_turn_in_which_the_handler_hangs_fails_when_the_session_ends() -> None:
    async def hangs(session: RealtimeSession) -> None:
        await session.input()
        await asyncio.Event().wait()

    with performance(scene(hangs)) as stage:
        stage.user_says()
        assert ends_of_turns(stage) == []
    assert ends_of_turns(stage) == [CANCELLED]


def test_a_turn_to_which_nothing_is_said_for_too_long_fails_and_the_handler_begins_anew() -> None:
    async def hangs_once(session: RealtimeSession) -> None:
        async for turn in session.turns():
            if turn.text == "bad":
                await asyncio.Event().wait()
            await session.say("fine")

    with performance(scene(hangs_once, apology="sorry")) as stage:
        stage.user_says("bad", then_s=ANSWER_WITHIN_S - 1)
        assert ends_of_turns(stage) == []
        stage.pass_time(3)
        assert ends_of_turns(stage) == [("TurnFailed", Reason.TIMEOUT)]
        stage.user_says("good")
        assert ends_of_turns(stage)[1:] == [COMPLETED]
    assert [utterance.text for utterance in stage.session.said] == ["sorry", "fine"]


def test_who_embeds_a_session_says_how_long_its_handler_may_be_silent() -> None:
    async def hangs(session: RealtimeSession) -> None:
        await session.input()
        await asyncio.Event().wait()

    with performance(scene(hangs, answer_within_s=20.0)) as stage:
        stage.user_says("hello", then_s=19)
        assert ends_of_turns(stage) == []
        stage.pass_time(2)
        assert ends_of_turns(stage) == [("TurnFailed", Reason.TIMEOUT)]


def test_a_handler_may_take_its_time_once_it_has_said_something_and_between_turns() -> None:
    async def patient(session: RealtimeSession) -> None:
        async for _ in session.turns():
            session.say("one moment")
            await time_passes(2 * ANSWER_WITHIN_S)

    with performance(scene(patient)) as stage:
        stage.pass_time(2 * ANSWER_WITHIN_S)
        stage.user_says(then_s=3 * ANSWER_WITHIN_S)
        assert ends_of_turns(stage) == [COMPLETED]


def test_a_handler_that_will_not_stop_hanging_may_still_answer() -> None:
    async def stubborn(session: RealtimeSession) -> None:
        async for _ in session.turns():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await session.say("there you are")

    with performance(scene(stubborn)) as stage:
        stage.user_says(then_s=ANSWER_WITHIN_S + 3)
        assert ends_of_turns(stage) == [COMPLETED]


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_turn_that_the_handler_answered_or_hung_up_in_is_completed_by_the_end(hangs_up: bool) -> None:
    async def answers(session: RealtimeSession) -> None:
        await session.input()
        if hangs_up:
            await session.close()
        else:
            session.say("goodbye")
        await asyncio.Event().wait()

    with performance(scene(answers)) as stage:
        stage.user_says()
        assert stage.session.is_over is hangs_up
    assert ends_of_turns(stage) == [COMPLETED]


# F53: it ignores cancellation, or is cancelled by others.


def test_a_handler_that_will_not_stop_is_left_behind_and_can_do_nothing_more() -> None:
    after: list[str] = []

    async def stubborn(session: RealtimeSession) -> None:
        await session.input()
        while True:
            try:
                await time_passes(60)
                break
            except asyncio.CancelledError:
                continue
        for attempt in (session.input, lambda: session.deliver(OUTPUT, PLACE, sink()), _say(session)):
            try:
                await attempt()
            except SessionClosed:
                after.append("refused")

    stage = CallStage(scene(stubborn))
    try:
        stage.leftovers_allowed = True
        stage.connected()
        stage.user_says()
        stage.finish()
        assert ends_of_turns(stage) == [CANCELLED]
        recorded = len(stage.records())
        stage.pass_time(61)
        assert after == ["refused"] * 3
        assert len(stage.records()) == recorded
        assert not stage.own_tasks()
    finally:
        stage.dispose()


def _say(session: RealtimeSession) -> Any:
    async def say() -> None:
        session.say("too late")

    return say


@pytest.mark.parametrize("times", [1, 2])
def test_a_session_whose_handler_was_cancelled_by_somebody_else_ends(times: int) -> None:
    """Nobody would answer its turns any more."""
    with performance(scene(converses)) as stage:
        (handler,) = [task for task in stage.own_tasks() if task.get_name().startswith("handler")]
        for _ in range(times):
            handler.cancel()
        stage.pass_time(1)
        assert stage.session.has_ended
        assert stage.session.close_reason is CloseReason.INTERNAL


def test_two_tasks_of_a_handler_may_ask_for_turns_and_each_turn_has_one_end() -> None:
    async def twins(session: RealtimeSession) -> None:
        await asyncio.gather(*(converses(session) for _ in range(2)))

    with performance(scene(twins)) as stage:
        for _ in range(4):
            stage.user_says(then_s=0)
        stage.pass_time(3)
    assert len(ends_of_turns(stage)) == 4
