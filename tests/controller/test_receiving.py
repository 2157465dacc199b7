"""Events that come in windows: counted exactly, recorded in time, and late ones not delivered."""

from hashlib import sha256

import pytest

from agentfield_rt.controller import EACH, Windows
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.errors import ConnectionLost, IllegalCommand, ProviderError, Reason
from agentfield_rt.frames import Media, Notice, OutputAudio, ProviderEvent
from tests.controller.deaf import DEAF_S, deaf
from tests.controller.stage import SMALL, Stage, error_of, kinds, performance


def test_the_digest_of_what_came_is_that_of_the_assistants_audio(flowing: Stage) -> None:
    flowing.give_response(pieces=2)
    for _ in range(2):
        flowing.receive(demand=4)
        flowing.settle()
    heard = b"".join(event.pcm for event in flowing.delivered if isinstance(event, OutputAudio))
    audio = [r.audio for r in flowing.writer.appended if isinstance(r, records.OutputReceived) if r.audio]
    assert [(tally.frames, tally.digest) for tally in audio] == [(2, sha256(heard).digest())]


def test_what_came_is_written_down_after_a_while_though_a_receive_waits(flowing: Stage) -> None:
    flowing.give(flowing.notice())
    flowing.receive()
    flowing.settle()
    waits = flowing.receive()
    flowing.settle()
    assert flowing.controller.state.receive_cursor == 0
    flowing.pass_time(1.1)
    assert flowing.controller.state.receive_cursor == flowing.controller.received_total == 1
    assert not waits.task.done()
    flowing.pass_time(5.0)
    assert kinds(flowing).count("output_received") == 1


def test_a_receive_asks_for_no_more_than_its_intent_allows(flowing: Stage) -> None:
    flowing.give(*(flowing.notice() for _ in range(9)))
    for _ in range(3):
        flowing.receive(demand=100)
        flowing.settle()
    assert flowing.delivered_total == 9
    assert [call.argument for call in flowing.scripted.calls if call.method == "receive"] == [4, 4, 4]


def test_events_that_a_stuck_disk_has_not_promised_wait(flowing: Stage) -> None:
    flowing.give(*(flowing.notice() for _ in range(9)))
    flowing.receive(demand=1)
    flowing.settle()
    flowing.writer.stick()
    for _ in range(4):
        flowing.receive(demand=4)
        flowing.settle()
    assert flowing.delivered_total == 4
    flowing.writer.unstick()
    flowing.settle()
    assert flowing.delivered_total == 9


def test_events_of_a_receive_that_was_given_up_are_not_delivered(flowing: Stage) -> None:
    receive = flowing.receive()
    flowing.settle()
    flowing.give(flowing.notice())
    flowing.fail()
    flowing.settle()
    error = error_of(receive)
    assert isinstance(error, ProviderError)
    assert error.reason is Reason.SUPERSEDED
    assert flowing.controller.received_total == 0


def test_an_interrupt_writes_down_what_came_before_it(flowing: Stage) -> None:
    response_id = flowing.give_response(pieces=1, ends=False)
    for _ in range(2):
        flowing.receive(demand=2)
        flowing.settle()
    flowing.receive(demand=2)
    flowing.settle()
    flowing.interrupt(response_id)
    flowing.turn(1)
    story = kinds(flowing)
    assert story.index("interrupt_requested") > max(
        at for at, kind in enumerate(story) if kind == "output_received"
    )
    assert flowing.controller.state.receive_cursor == 2


def test_late_output_of_an_interrupted_response_is_not_counted_across_a_window(flowing: Stage) -> None:
    response_id = flowing.give_response(pieces=1, ends=False)
    flowing.receive(demand=4)
    flowing.settle()
    flowing.hold("interrupt")
    flowing.interrupt(response_id)
    flowing.settle()
    flowing.give(*(flowing.audio(response_id) for _ in range(3)))
    flowing.receive(demand=4)
    flowing.settle()
    assert flowing.controller.received_total == flowing.delivered_total == 2
    late = [r.count for r in flowing.writer.appended if isinstance(r, records.OutputLate)]
    assert late == [3]


@pytest.mark.parametrize("demand", [0, -1])
def test_a_receive_demands_at_least_one_event(flowing: Stage, demand: int) -> None:
    refused = flowing.receive(demand)
    flowing.settle()
    assert isinstance(error_of(refused), IllegalCommand)
    assert kinds(flowing) == ["connect_requested", "connected"]


def test_events_that_came_before_a_loss_are_recorded_with_it(flowing: Stage) -> None:
    flowing.give(flowing.notice())
    flowing.receive()
    flowing.settle()
    flowing.receive()
    flowing.settle()
    flowing.drop()
    flowing.settle()
    assert kinds(flowing)[-2:] == ["output_received", "connection_lost"]


def degraded_under_a_receive(stage: Stage) -> None:
    """A send found the connection gone, a receive still waits, and an event came meanwhile."""
    stage.hold("receive")
    answer = stage.holds[-1]
    stage.receive()
    stage.settle()
    stage.hold("send")
    stage.decide(stage.holds[-1], "lose before it acts")
    stage.send(Media.TEXT)
    stage.settle()
    assert stage.controller.state.phase is Phase.DEGRADED
    stage.scripted._buffer.reopen()  # pyright: ignore[reportPrivateUsage]
    stage.decide(answer, "release")
    stage.give(stage.notice())
    stage.settle()
    assert stage.controller.received_total == 1


def test_events_of_a_degraded_session_are_recorded_when_it_fails(flowing: Stage) -> None:
    degraded_under_a_receive(flowing)
    flowing.receive()
    flowing.settle()
    flowing.fail()
    assert flowing.controller.state.receive_cursor == 1


def test_a_receive_that_waits_in_a_degraded_session_ends_as_lost(flowing: Stage) -> None:
    degraded_under_a_receive(flowing)
    flowing.receive()
    flowing.settle()
    flowing.pass_time(1.0)
    assert isinstance(error_of(flowing.requests[-1]), ConnectionLost)
    assert flowing.controller.state.receive_cursor == 1


@pytest.mark.parametrize("windows", [EACH, SMALL], ids=["each", "windows"])
def test_a_receive_that_is_never_answered_hears_of_a_loss_that_a_send_found(windows: Windows) -> None:
    with performance(windows) as stage:
        stage.hold("receive")
        stage.receive()
        listening = stage.requests[-1]
        stage.settle()
        stage.hold("send")
        stage.send(Media.TEXT)
        stage.settle()
        stage.decide(stage.holds[-1], "lose")
        stage.settle()
        assert not listening.task.done()
        stage.pass_time(1.0)
        assert isinstance(error_of(listening), ConnectionLost)
        assert kinds(stage)[-1] == "output_receive_failed"


def test_events_wait_for_a_journal_that_could_not_take_their_window(flowing: Stage) -> None:
    flowing.give(*(flowing.notice() for _ in range(6)))
    flowing.receive(demand=1)
    flowing.settle()
    for _ in range(2):
        flowing.break_append()
    flowing.receive(demand=1)
    flowing.settle()
    flowing.receive(demand=2)
    flowing.settle()
    assert flowing.controller.state.receive_cursor == 0
    flowing.receive(demand=2)
    flowing.settle()
    assert flowing.delivered_total == 6
    assert flowing.controller.state.receive_cursor >= 4


def test_events_that_a_broken_journal_owes_are_told_once(flowing: Stage) -> None:
    flowing.give(flowing.notice())
    flowing.receive()
    flowing.settle()
    waits = flowing.receive()
    flowing.settle()
    for _ in range(3):
        flowing.break_append()
    flowing.drop()
    flowing.settle()
    assert error_of(waits) is not None
    flowing.writer.append_faults.clear()
    flowing.reconcile("nothing")
    assert kinds(flowing)[-1] == "output_received"
    assert flowing.controller.state.receive_cursor == 1


async def _deaf_receive(*, demand: int) -> tuple[ProviderEvent, ...]:
    await deaf(demand)
    return (Notice("late"),)


def test_an_answer_after_its_session_was_given_up_leaves_nothing_behind(flowing: Stage) -> None:
    """The close goes on without the receive that does not hear of it; nobody may wait for its window."""
    flowing.adapter.receive = _deaf_receive  # type: ignore[method-assign]
    late = flowing.receive()
    flowing.settle()
    flowing.hold("close")
    flowing.close()
    flowing.pass_time(2.0)
    flowing.decide(flowing.undecided[0], "break")
    flowing.settle()
    assert flowing.controller.state.phase is Phase.CLOSING
    next_one = flowing.receive()
    flowing.pass_time(DEAF_S)
    assert isinstance(error_of(late), ProviderError)
    assert isinstance(error_of(next_one), IllegalCommand)
    assert flowing.controller.received_total == 0


def test_an_answer_of_the_old_connection_counts_and_the_next_receive_goes_on(flowing: Stage) -> None:
    receive = flowing.adapter.receive
    flowing.adapter.receive = _deaf_receive  # type: ignore[method-assign]
    late = flowing.receive()
    flowing.settle()
    flowing.restart()
    flowing.pass_time(DEAF_S)
    assert error_of(late) is None
    flowing.adapter.receive = receive  # type: ignore[method-assign]
    flowing.give(flowing.notice())
    later = flowing.receive()
    flowing.settle()
    assert error_of(later) is None
    flowing.given.insert(0, Notice("late"))
    assert flowing.controller.received_total == 2


def test_a_cut_in_a_degraded_session_keeps_the_receive_that_waits_and_its_count(flowing: Stage) -> None:
    degraded_under_a_receive(flowing)
    waits = flowing.receive()
    flowing.settle()
    flowing.reconcile(next(iter(flowing.controller.state.unknown)))
    flowing.hold("restart")
    flowing.restart()
    flowing.turn(1)
    assert not waits.task.done()
    assert flowing.controller.received_total == 1
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    assert flowing.controller.state.receive_cursor == 1


def test_a_receive_that_begins_during_a_restart_waits_for_the_new_connection(flowing: Stage) -> None:
    flowing.give(flowing.notice())
    flowing.receive()
    flowing.settle()
    flowing.hold("restart")
    flowing.restart()
    flowing.settle()
    for _ in range(2):
        waits = flowing.receive()
        flowing.give(flowing.notice())
        flowing.settle()
    waits = flowing.receive()
    flowing.pass_time(3.0)
    assert not waits.task.done()
    flowing.decide(flowing.undecided[0], "release")
    flowing.give(flowing.notice())
    flowing.settle()
    assert error_of(waits) is None
