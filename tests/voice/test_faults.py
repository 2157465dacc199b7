"""Tools, sinks, callers and disks that misbehave, each with the outcome that is declared for it."""

import asyncio
from typing import Any

import pytest

from agentfield_rt.agent import RealtimeSession, UtteranceHandle
from agentfield_rt.core import records
from agentfield_rt.core.records import TurnSource
from agentfield_rt.deliveries import DeliveryStatus, Parcel
from agentfield_rt.errors import Reason, SessionClosed
from agentfield_rt.frames import ToolResultFrame
from agentfield_rt.testing.call_rules import CallStage, performance
from agentfield_rt.testing.virtual_time import time_passes
from agentfield_rt.voice.link import Turn
from agentfield_rt.voice.turns import WAITING_MAX
from tests.voice.call import Desk, Listener, speaks
from tests.voice.scenarios import OUTPUT, PLACE, sink
from tests.voice.scene import scene
from tests.voice.throws import Thrown


def test_a_sink_that_will_not_stop_leaves_its_delivery_in_doubt_when_the_session_ends() -> None:
    async def stubborn(_: Parcel) -> str:
        until = asyncio.get_running_loop().time() + 60
        while (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                await time_passes(left)
            except asyncio.CancelledError:
                continue
        return "late"

    stage = CallStage()
    try:
        stage.leftovers_allowed = True
        stage.connected()
        delivery = stage.ask("delivery", stage.session.deliveries.deliver(OUTPUT, PLACE, sink(stubborn)))
        stage.settle()
        stage.close()
        stage.pass_time(6)
        doubts = stage.of_kind(records.OutputDispatchReconciliationNeeded)
        assert [doubt.reason for doubt in doubts] == [Reason.CANCELLED]
        assert isinstance(stage.records()[-1], records.SessionEnded)
        stage.pass_time(60)
        assert delivery.task.result().status is DeliveryStatus.RECONCILIATION_NEEDED
        assert isinstance(stage.records()[-1], records.SessionEnded)
    finally:
        stage.dispose()


def test_nothing_is_delivered_once_the_session_ends() -> None:
    """Also if the intent was on its way to the disk by then: the sink is not called."""
    parcels: list[Parcel] = []

    async def counts(parcel: Parcel) -> None:
        parcels.append(parcel)

    with performance() as stage:
        stage.journal.faults.hang()
        stage.ask("early", stage.session.deliveries.deliver(OUTPUT, PLACE, sink(counts)))
        stage.turn(2)
        stage.close()
        stage.settle()
        late = stage.ask("late", stage.session.deliveries.deliver(OUTPUT, PLACE, sink(counts)))
        stage.settle()
        stage.journal.faults.resume()
        stage.pass_time(1)
        assert isinstance(late.task.exception(), SessionClosed)
        assert not parcels
        assert len(stage.of_kind(records.OutputDispatchFailed)) == 1


class Gathered(BaseExceptionGroup[BaseException]):
    """What some task groups raise when a part of them was cancelled."""

    def __new__(cls) -> "Gathered":
        return super().__new__(cls, "a group", [asyncio.CancelledError()])

    def __init__(self) -> None:
        super().__init__("a group", [asyncio.CancelledError()])


@pytest.mark.parametrize(
    "breaks",
    [asyncio.CancelledError, SystemExit, Gathered, Thrown, object],
    ids=lambda breaks: breaks.__name__,
)
def test_the_model_gets_an_answer_whatever_a_tool_does(breaks: type) -> None:
    async def look_up() -> Any:
        if issubclass(breaks, BaseException):
            raise breaks
        return breaks()  # nothing that JSON could carry

    with performance(scene(desk=Desk(look_up=look_up))) as stage:
        stage.model_calls()
        stage.settle()
        (result,) = stage.of_kind(records.ToolResultRecorded)
        assert result.reason is Reason.INTERNAL
        outputs = [frame.output for frame in stage.provider.got if isinstance(frame, ToolResultFrame)]
        assert outputs == ['{"error":"node.look_up failed: internal"}']
        assert not stage.session.is_over


def test_a_tool_that_will_not_stop_is_left_behind_with_one_result() -> None:
    released = asyncio.Event()

    async def look_up() -> str:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    stage = CallStage(scene(desk=Desk(look_up=look_up)))
    try:
        stage.leftovers_allowed = True
        stage.connected()
        stage.model_calls()
        stage.settle()
        stage.finish()
        released.set()
        stage.settle()
        assert [result.reason for result in stage.of_kind(records.ToolResultRecorded)] == [Reason.CANCELLED]
        assert not stage.own_tasks()
    finally:
        stage.dispose()


class _Deaf(Listener):
    """A caller whose line breaks when it is told to be silent."""

    async def clear(self) -> None:
        await asyncio.sleep(0)
        raise OSError("the line is gone")


def test_a_caller_who_cannot_be_silenced_ends_the_call_and_the_utterance() -> None:
    with performance(scene(listener=_Deaf(), answer=speaks(audio_ms=2_000))) as stage:
        saying = stage.say("a long story")
        stage.pass_time(0.5)
        stage.user_starts()
        stage.settle()
        assert saying.task.done()
        assert stage.session.has_ended
        assert len(stage.of_kind(records.UtteranceInterrupted)) == 1


def test_words_that_cannot_be_kept_take_no_outcome_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from agentfield_journal import JournalFull

    with performance() as stage:
        saying = stage.say()
        stage.turn(3)

        def full(*_: object, **__: object) -> str:
            raise JournalFull("no room")

        monkeypatch.setattr(stage.content, "put", full)
        stage.pass_time(2)
        (played,) = stage.of_kind(records.UtterancePlayed)
        assert played.heard_ref is None
        assert saying.task.done()


def test_a_turn_that_displaces_another_is_kept_when_the_journal_fails_just_then() -> None:
    async def deaf(session: RealtimeSession) -> None:
        await asyncio.Event().wait()

    with performance(scene(deaf)) as stage:
        for _ in range(WAITING_MAX):
            stage.user_says(then_s=0)
        stage.journal_broke = True
        turns: Any = stage.session._turns  # pyright: ignore[reportPrivateUsage]
        stage.journal.faults.fail("append", nth=2)
        with pytest.raises(Exception, match="no room"):
            turns.commit(Turn("turn_more", "more", source=TurnSource.TEXT), spoken_until_ns=None)


def test_one_who_waits_for_speech_is_told_even_if_its_outcome_is_owed() -> None:
    with performance() as stage:
        utterance = stage.session.say("one two three", None)
        handle = UtteranceHandle(utterance)
        stage.journal_broke = True
        for nth in range(1, 30):
            stage.journal.faults.fail("append", nth=nth)

        async def waits() -> None:
            await handle

        waiting = stage.ask("say", waits())
        stage.pass_time(8)
        assert waiting.task.done()
