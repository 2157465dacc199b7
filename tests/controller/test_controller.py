"""Single promises of the controller, each in one short story."""

import asyncio

import pytest

from agentfield_rt.controller import EACH, RealtimeSessionController, Windows
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import Decision
from agentfield_rt.errors import (
    CloseReason,
    ConnectionLost,
    IllegalCommand,
    ProviderError,
    Reason,
    RepairNeeded,
)
from agentfield_rt.frames import AudioFrame, InputFrame, Media, TextFrame
from agentfield_rt.run import Run
from tests.controller.stage import Stage, error_of, kinds, methods, performance


@pytest.mark.parametrize("windows", [EACH, Windows()], ids=["each", "windows"])
def test_the_reference_happy_path_reaches_the_adapter_and_the_journal_in_order(windows: Windows) -> None:
    with performance(windows) as stage:
        _happy_path(stage)


def _happy_path(stage: Stage) -> None:
    stage.send(Media.TEXT)
    stage.settle()
    response_id = stage.give_response(pieces=0, ends=False)
    stage.receive()
    stage.settle()
    stage.interrupt(response_id)
    stage.settle()
    stage.hold("restart")
    stage.restart()
    stage.settle()
    gated = stage.send(Media.TEXT)
    stage.settle()
    assert gated.task.result() is False
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert kinds(stage) == [
        "connect_requested",
        "connected",
        "input_send_requested",
        "input_sent",
        "output_receive_requested",
        "output_received",
        "interrupt_requested",
        "interrupted",
        "restart_requested",
        "restart_started",
        "backpressure_applied",
        "restart_completed",
        "backpressure_released",
        "input_send_requested",
        "input_sent",
    ]
    assert methods(stage) == ["connect", "send", "receive", "interrupt", "restart", "send"]


def test_an_adapter_is_called_only_once_its_intent_is_on_the_disk(stage: Stage) -> None:
    stage.writer.stick()
    stage.send()
    stage.settle()
    assert methods(stage) == ["connect"]
    stage.writer.unstick()
    stage.settle()
    assert methods(stage) == ["connect", "send"]


def test_sends_arrive_in_the_order_of_their_calls(stage: Stage) -> None:
    requests = [stage.send() for _ in range(10)]
    stage.settle()
    stage.settle()
    assert stage.scripted.sent == [request.frame for request in requests]


def test_interrupt_and_close_do_not_wait_for_a_pending_receive(stage: Stage) -> None:
    response_id = stage.give_response(pieces=0, ends=False)
    stage.receive()
    stage.settle()
    stage.receive()
    stage.settle()
    interrupt, close = stage.interrupt(response_id), stage.close()
    stage.settle()
    assert interrupt.task.done()
    assert close.task.done()


@pytest.mark.parametrize("windows", [EACH, Windows()], ids=["each", "windows"])
def test_interrupt_and_restart_do_not_wait_for_a_pending_receive(windows: Windows) -> None:
    with performance(windows) as stage:
        response_id = stage.give_response(pieces=0, ends=False)
        stage.receive()
        stage.settle()
        stage.receive()
        stage.settle()
        interrupt, restart = stage.interrupt(response_id), stage.restart()
        stage.settle()
        assert error_of(interrupt) is None
        assert error_of(restart) is None


def test_a_session_is_connected_once(stage: Stage) -> None:
    again = stage.connect()
    stage.settle()
    assert isinstance(error_of(again), IllegalCommand)
    assert methods(stage) == ["connect"]
    assert kinds(stage) == ["connect_requested", "connected"]


def test_a_refused_connect_may_be_tried_again() -> None:
    stage = Stage()
    try:
        stage.hold("connect")
        first = stage.connect()
        stage.settle()
        second = stage.connect()
        stage.settle()
        stage.decide(stage.undecided[0], "refuse")
        stage.settle()
        third = stage.connect()
        stage.settle()
        assert isinstance(error_of(first), ProviderError)
        assert isinstance(error_of(second), IllegalCommand)
        assert error_of(third) is None
        stage.finish()
    finally:
        stage.dispose()


def test_nothing_is_done_before_there_is_a_connection() -> None:
    stage = Stage()
    try:
        early = [stage.send(), stage.receive(), stage.interrupt("r"), stage.restart(), stage.send(Media.TEXT)]
        stage.settle()
        assert all(isinstance(error_of(request), IllegalCommand) for request in early)
        assert kinds(stage) == []
        assert methods(stage) == []
    finally:
        stage.dispose()


def test_everything_recorded_so_far_can_be_waited_for(stage: Stage) -> None:
    stage.send(Media.TEXT)
    stage.settle()
    stage.writer.stick()
    waits = stage.request("durable", stage.controller.durable())
    stage.settle()
    assert not waits.task.done()
    stage.writer.unstick()
    stage.settle()
    assert error_of(waits) is None


def test_no_newcomer_overtakes_a_frame_that_waits(stage: Stage) -> None:
    stage.hold("restart")
    stage.restart()
    stage.settle()
    early = [stage.send() for _ in range(3)]
    stage.settle()
    stage.hold("send")
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    late = [stage.send() for _ in range(2)]
    stage.settle()
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert stage.scripted.sent == [request.frame for request in (*early, *late)]


def test_gated_frames_follow_even_if_nobody_waits_for_the_restart_any_more(stage: Stage) -> None:
    stage.hold("restart")
    restart = stage.restart()
    stage.settle()
    frames = [stage.send() for _ in range(3)]
    stage.settle()
    stage.hold("send")
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    stage.cancel(restart)
    stage.settle()
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert stage.scripted.sent == [request.frame for request in frames]


def test_gated_frames_go_on_after_a_reconciliation(stage: Stage) -> None:
    stage.hold("restart")
    stage.restart()
    stage.settle()
    frames = [stage.send(Media.TEXT) for _ in range(3)]
    stage.settle()
    stage.hold("send")
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    stage.decide(stage.undecided[0], "doubt")
    stage.settle()
    assert len(stage.controller.state.gated) == 2
    stage.reconcile(next(iter(stage.controller.state.unknown)))
    stage.settle()
    assert stage.scripted.sent == [request.frame for request in frames]


def test_a_send_that_a_restart_overtook_does_not_report_success(stage: Stage) -> None:
    stage.hold("send")
    send = stage.send(Media.TEXT)
    stage.settle()
    stage.writer.stick()
    stage.restart()
    stage.turn(2)
    stage.decide(stage.undecided[0], "release")
    stage.turn(3)
    error = error_of(send)
    assert isinstance(error, ProviderError)
    assert not error.not_done
    assert error.reason is Reason.SUPERSEDED


def test_a_frame_whose_connection_was_given_up_before_it_was_sent_is_certainly_not_done(stage: Stage) -> None:
    stage.writer.stick()
    send = stage.send(Media.TEXT)
    stage.restart()
    stage.turn(1)
    stage.writer.unstick()
    stage.settle()
    error = error_of(send)
    assert isinstance(error, ProviderError)
    assert error.not_done
    assert stage.scripted.sent == []
    assert not stage.controller.state.needs_repair


class _StubbornAdapter:
    """Answers a cancelled send with the loss of the connection that was just replaced."""

    def __init__(self, stage: Stage) -> None:
        self._inner = stage.adapter

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def send(self, frame: InputFrame) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            for _ in range(10):
                await asyncio.sleep(0)
            raise ConnectionLost("the old connection is gone") from None


def test_the_late_loss_of_a_replaced_connection_does_not_degrade_the_new_one() -> None:
    stage = Stage()
    stage.adapter = _StubbornAdapter(stage)  # type: ignore[assignment]
    stage.controller._adapter = stage.adapter  # pyright: ignore[reportPrivateUsage]
    stage.connect()
    stage.settle()
    stage.send()
    stage.settle()
    stage.restart()
    stage.settle()
    assert stage.controller.state.phase is Phase.OPEN
    assert "connection_lost" not in kinds(stage)
    stage.dispose()


def test_a_call_that_misses_its_deadline_is_unknown(stage: Stage) -> None:
    stage.hold("send")
    send = stage.send(Media.TEXT)
    stage.pass_time(5.1)
    error = error_of(send)
    assert isinstance(error, ProviderError)
    assert (error.reason, error.not_done) == (Reason.TIMEOUT, False)
    again = stage.send(Media.TEXT)
    stage.settle()
    assert isinstance(error_of(again), RepairNeeded)


def test_what_an_unknown_frame_was_is_never_sent_again(stage: Stage) -> None:
    stage.hold("send")
    stage.send(Media.TEXT)
    stage.settle()
    stage.decide(stage.undecided[0], "lose")
    stage.settle()
    stage.reconcile(next(iter(stage.controller.state.unknown)), Decision.NOT_DONE)
    stage.restart()
    stage.settle()
    assert len(stage.scripted.sent) == 1


def test_output_of_an_interrupted_response_is_late_and_not_delivered(stage: Stage) -> None:
    response_id = stage.give_response(pieces=0, ends=False)
    stage.receive()
    stage.settle()
    stage.hold("interrupt")
    stage.interrupt(response_id)
    stage.settle()
    stage.give(stage.audio(response_id), stage.audio(response_id))
    stage.receive(demand=8)
    stage.settle()
    assert stage.delivered == []
    assert kinds(stage)[-2:] == ["output_receive_empty", "output_late"]


def test_no_call_is_made_when_its_intent_cannot_be_written(stage: Stage) -> None:
    for break_it in (stage.break_append, stage.break_durable):
        break_it()
        stage.send()
        stage.settle()
    assert stage.scripted.sent == []
    assert not stage.controller.state.open_operations
    third = stage.send()
    stage.settle()
    assert error_of(third) is None


def test_an_outcome_the_journal_could_not_take_comes_before_anything_else(stage: Stage) -> None:
    stage.hold("send")
    stage.send(Media.TEXT)
    stage.settle()
    for _ in range(2):  # the outcome, and what is tried instead
        stage.break_append()
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert kinds(stage)[-1] == "input_send_requested"
    receive = stage.receive()
    stage.settle()
    assert kinds(stage)[-2:] == ["input_send_unknown", "output_receive_requested"]
    assert not receive.task.done()


@pytest.mark.asyncio
async def test_a_controller_needs_ten_lines() -> None:
    from agentfield_adapters.scripted import ScriptedAdapter
    from agentfield_journal import open_journal

    async with open_journal("memory:") as journal:
        run = await Run.open(journal, "run-1")
        async with RealtimeSessionController(ScriptedAdapter(), run, session_id="session-1") as session:
            await session.connect()
            assert await session.send(TextFrame("frame-1", "hello"))
            events = await session.receive(demand=3)
        assert [type(event).__name__ for event in events] == [
            "ResponseStarted",
            "OutputTranscript",
            "ResponseEnded",
        ]
        assert session.state.close_reason is CloseReason.NORMAL
        with pytest.raises(IllegalCommand, match="not possible while the session is closed"):
            await session.send(AudioFrame("frame-2", bytes(960)))
