"""Media that flows in windows: exact counts, exact bytes, and no frame that waits for a disk it need not."""

from hashlib import sha256

from agentfield_journal import JournalFull
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import WindowTally
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import AudioFrame, Media
from tests.controller.stage import Stage, error_of, kinds, methods


def send_audio(stage: Stage, frames: int) -> None:
    for _ in range(frames):
        stage.send()
        stage.settle()


def tallies(stage: Stage) -> list[WindowTally]:
    """The windows that the journal tells of, in order."""
    return [
        record.window
        for record in stage.writer.appended
        if isinstance(record, records.InputSent | records.InputSendFailed | records.InputSendUnknown)
        and record.window is not None
    ]


def pcm(stage: Stage) -> list[bytes]:
    return [frame.pcm for frame in stage.scripted.sent if isinstance(frame, AudioFrame)]


def test_the_first_frame_waits_for_its_windows_intent(flowing: Stage) -> None:
    flowing.writer.stick()
    flowing.send()
    flowing.settle()
    assert methods(flowing) == ["connect"]
    flowing.writer.unstick()
    flowing.settle()
    assert methods(flowing) == ["connect", "send"]


def test_a_frame_in_an_open_window_waits_for_no_disk_and_at_its_bound_it_does(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.writer.stick()
    for frames in (2, 3, 4):
        send_audio(flowing, 1)
        assert len(flowing.scripted.sent) == frames
    waits = flowing.send()
    flowing.settle()
    assert not waits.task.done()
    flowing.writer.unstick()
    flowing.settle()
    assert waits.task.result() is True


def test_the_next_intent_is_written_when_half_a_window_has_flowed(flowing: Stage) -> None:
    send_audio(flowing, 1)
    assert kinds(flowing)[2:] == ["input_send_requested"]
    send_audio(flowing, 1)
    assert kinds(flowing)[2:] == ["input_send_requested", "input_sent", "input_send_requested"]


def test_an_open_window_makes_room_for_no_more_than_the_disk_has_promised(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.writer.stick()
    for _ in range(12):
        flowing.send()
    flowing.settle()
    assert len(flowing.scripted.sent) == 4
    flowing.writer.unstick()
    flowing.settle()
    flowing.settle()
    assert len(flowing.scripted.sent) == 13


def test_cursors_are_exact_across_windows_interrupts_and_restarts(flowing: Stage) -> None:
    for _ in range(3):
        send_audio(flowing, 5)
        response_id = flowing.give_response(pieces=3, ends=False)
        for _ in range(2):
            flowing.receive(demand=4)
            flowing.settle()
        flowing.interrupt(response_id)
        flowing.settle()
        flowing.restart()
        flowing.settle()
    assert flowing.controller.sent_total == len(flowing.scripted.sent) == 15
    flowing.close()
    flowing.settle()
    sent = [r.cursor for r in flowing.writer.appended if isinstance(r, records.InputSent)]
    received = [r.cursor for r in flowing.writer.appended if isinstance(r, records.OutputReceived)]
    assert (sent[-1], received[-1]) == (15, flowing.delivered_total)
    assert sent == sorted(sent)
    assert received == sorted(received)


def test_the_digests_are_those_of_the_bytes_the_provider_took(flowing: Stage) -> None:
    send_audio(flowing, 5)
    flowing.restart()
    flowing.settle()
    send_audio(flowing, 6)
    flowing.pass_time(1.5)
    taken = iter(pcm(flowing))
    for window in tallies(flowing):
        flowed = b"".join(next(taken) for _ in range(window.frames))
        assert (window.digest, window.size_bytes) == (sha256(flowed).digest(), len(flowed))
    assert list(taken) == []


def test_what_flowed_is_written_down_after_a_while_and_an_idle_window_is_closed(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.pass_time(1.1)
    assert [window.frames for window in tallies(flowing)] == [1]
    assert flowing.controller.state.open_operations
    flowing.pass_time(1.0)
    assert [window.frames for window in tallies(flowing)] == [1, 0]
    assert not flowing.controller.state.open_operations


def test_a_window_ends_with_the_frame_that_failed_and_does_not_count_it(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    fails = flowing.send()
    flowing.settle()
    flowing.decide(flowing.undecided[0], "refuse")
    flowing.settle()
    assert isinstance(error_of(fails), ProviderError)
    assert [window.frames for window in tallies(flowing)] == [1]
    assert kinds(flowing)[-1] == "input_send_failed"
    send_audio(flowing, 1)
    assert flowing.controller.sent_total == 2


def test_the_first_frame_of_a_window_may_fail(flowing: Stage) -> None:
    flowing.hold("send")
    flowing.send()
    flowing.settle()
    flowing.decide(flowing.undecided[0], "doubt")
    flowing.settle()
    assert kinds(flowing)[-2:] == ["input_send_unknown", "reconciled"]
    assert tallies(flowing) == []


def test_a_frame_on_the_wire_when_the_connection_is_replaced_is_in_doubt_and_those_before_it_are_not(
    flowing: Stage,
) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    doubtful = flowing.send()
    flowing.settle()
    flowing.writer.stick()
    flowing.restart()
    flowing.turn(2)
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    error = error_of(doubtful)
    assert isinstance(error, ProviderError)
    assert (error.reason, error.not_done) == (Reason.SUPERSEDED, False)
    assert [window.frames for window in tallies(flowing)] == [1]
    assert flowing.controller.state.send_cursor == 1


def test_a_window_that_is_cut_while_a_frame_is_on_the_wire_ends_with_it(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    flowing.send()
    flowing.settle()
    flowing.close()
    flowing.turn(1)
    flowing.decide(flowing.undecided[0], "release")
    flowing.turn(3)
    assert [window.frames for window in tallies(flowing)] == [2]


def test_giving_up_with_a_frame_on_the_wire_keeps_what_flowed_before_it(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    doubtful = flowing.send()
    flowing.settle()
    flowing.fail()
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    assert [window.frames for window in tallies(flowing)] == [1]
    error = error_of(doubtful)
    assert isinstance(error, ProviderError)
    assert not error.not_done
    assert kinds(flowing)[-3:] == ["input_send_unknown", "reconciled", "failed"]


def test_audio_and_text_that_waited_leave_in_the_order_they_came(flowing: Stage) -> None:
    flowing.hold("restart")
    flowing.restart()
    flowing.settle()
    order = [Media.AUDIO, Media.TEXT, Media.AUDIO, Media.AUDIO, Media.TEXT]
    waiting = [flowing.send(media) for media in order]
    flowing.settle()
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    assert flowing.scripted.sent == [request.frame for request in waiting]


def test_audio_goes_on_while_a_text_waits_for_the_disk(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.writer.stick()
    text = flowing.send(Media.TEXT)
    flowing.settle()
    send_audio(flowing, 1)
    assert not text.task.done()
    assert len(flowing.scripted.sent) == 2


def test_while_a_text_is_in_doubt_no_audio_flows(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    flowing.send(Media.TEXT)
    flowing.settle()
    flowing.decide(flowing.undecided[0], "doubt")
    flowing.settle()
    refused = flowing.send()
    flowing.settle()
    assert error_of(refused) is not None
    assert len(pcm(flowing)) == 1


def test_a_window_that_cannot_be_renewed_for_a_doubt_is_closed_with_what_flowed(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    flowing.send(Media.TEXT)
    flowing.settle()
    flowing.decide(flowing.undecided[0], "doubt")
    flowing.settle()
    flowing.pass_time(1.1)
    assert [window.frames for window in tallies(flowing)] == [1]
    assert not flowing.controller.state.open_operations


def test_a_full_journal_stops_the_flow_only_where_the_window_ends(flowing: Stage) -> None:
    send_audio(flowing, 1)
    for _ in range(4):
        flowing.break_append()
    send_audio(flowing, 3)
    assert len(flowing.scripted.sent) == 4
    stopped = flowing.send()
    flowing.settle()
    assert isinstance(error_of(stopped), JournalFull)
    assert len(flowing.scripted.sent) == 4
    send_audio(flowing, 1)
    assert len(flowing.scripted.sent) == 5


def test_a_window_the_journal_did_not_take_at_the_end_of_its_period_is_tried_again(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.give(flowing.notice())
    flowing.receive()
    flowing.settle()
    flowing.break_append()
    flowing.break_append()
    flowing.pass_time(1.1)
    assert kinds(flowing)[-1] == "output_receive_requested"
    flowing.reconcile("nothing")
    flowing.pass_time(1.1)
    assert flowing.controller.state.send_cursor == 1
    assert flowing.controller.state.receive_cursor == 1


def test_a_restart_while_a_window_opens_lets_the_frame_wait_behind_the_gate(flowing: Stage) -> None:
    flowing.writer.stick()
    early = flowing.send()
    flowing.turn(1)
    flowing.restart()
    flowing.turn(2)
    flowing.writer.unstick()
    flowing.settle()
    assert early.task.result() is False
    assert [request.frame for request in (early,)] == flowing.scripted.sent
    assert flowing.controller.state.phase is Phase.OPEN


def test_audio_flows_on_once_what_was_owed_is_written(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    flowing.send(Media.TEXT)
    flowing.settle()
    for _ in range(2):
        flowing.break_append()
    flowing.decide(flowing.undecided[0], "refuse")
    flowing.settle()
    flowing.writer.append_faults.clear()
    assert "input_send_failed" not in kinds(flowing)
    send_audio(flowing, 1)
    assert "input_send_failed" in kinds(flowing)
    assert len(flowing.scripted.sent) == 2


def test_a_frame_that_fails_at_once_ends_its_window(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.drop()
    fails = flowing.send()
    flowing.settle()
    assert isinstance(error_of(fails), ProviderError)
    assert [window.frames for window in tallies(flowing)] == [1]
    assert kinds(flowing)[-1] == "connection_lost"


def test_an_adapter_that_breaks_at_once_leaves_its_frame_in_doubt(flowing: Stage) -> None:
    send_audio(flowing, 1)

    async def broken(frame: object) -> None:
        raise ZeroDivisionError

    flowing.adapter.send = broken  # type: ignore[method-assign]  # a bug in an adapter
    fails = flowing.send()
    flowing.settle()
    assert isinstance(error_of(fails), ZeroDivisionError)
    fails.checked = True
    assert kinds(flowing)[-2:] == ["input_send_unknown", "reconciled"]


def test_audio_behind_a_text_on_the_wire_does_not_use_a_window_that_was_cut_meanwhile(flowing: Stage) -> None:
    send_audio(flowing, 1)
    flowing.hold("send")
    flowing.send(Media.TEXT)
    flowing.settle()
    audio = flowing.send()
    flowing.settle()
    flowing.restart()
    flowing.settle()
    assert error_of(audio) is not None
    assert len(pcm(flowing)) == 1


def test_a_close_waits_for_the_frame_that_is_leaving_the_gate(flowing: Stage) -> None:
    flowing.hold("restart")
    flowing.restart()
    flowing.settle()
    for media in (Media.TEXT, Media.AUDIO):
        flowing.send(media)
    flowing.settle()
    flowing.hold("send")
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    close = flowing.close()
    flowing.settle()
    assert error_of(close) is None
    assert flowing.controller.state.phase is Phase.CLOSED
    flowing.reconcile(next(iter(flowing.controller.state.unknown)))
