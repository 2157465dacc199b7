"""Windows: audio that flows under one intent, and what a restart, a doubt or a crash makes of it."""

import pytest

from agentfield_rt.core import commands, records
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import evolve, replay
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.errors import IllegalCommand, Reason, RepairNeeded, ReplayMismatch
from agentfield_rt.frames import Media
from tests.core.situations import FLOWING, RESTART, SESSION_ID, fold, situation, tally


def kinds(written: tuple[Record, ...]) -> list[str]:
    return [record.kind for record in written]


def test_a_window_rolls_by_one_batch_so_that_some_intent_always_stands() -> None:
    state = situation("open, audio flowing")
    decided = decide(state, commands.Flowed("o2", tally(25), renew=50))
    assert kinds(decided) == ["realtime_input_sent", "realtime_input_send_requested"]
    state = fold(state, decided)
    assert state.send_cursor == 25
    (window,) = state.open_operations.values()
    assert (window.frames_max, window.media) == (50, Media.AUDIO)


def test_cursors_go_on_across_windows() -> None:
    state = situation("open, audio flowing")
    for frames in (50, 1, 0, 7):
        (window,) = state.open_operations
        state = fold(state, decide(state, commands.Flowed(window, tally(frames), renew=50)))
    assert state.send_cursor == 58


def test_a_window_that_is_not_renewed_is_closed_with_what_flowed_also_with_nothing() -> None:
    for frames in (0, 3):
        decided = decide(situation("open, audio flowing"), commands.Flowed("o2", tally(frames)))
        assert decided == (records.InputSent(op_id="o2", cursor=frames, window=tally(frames)),)


def test_a_window_that_claims_more_than_it_announced_contradicts_the_journal() -> None:
    with pytest.raises(ReplayMismatch, match="more than it announced"):
        evolve(situation("open, audio flowing"), records.InputSent(op_id="o2", cursor=51, window=tally(51)))


def test_audio_and_text_do_not_wait_for_each_other_but_each_for_its_own_kind() -> None:
    state = situation("open, audio flowing")
    state = fold(state, decide(state, commands.Send("f1", Media.TEXT, 5)))
    for late in (commands.Send("f2", Media.TEXT, 5), commands.OpenWindow(50)):
        with pytest.raises(IllegalCommand, match="still under way"):
            decide(state, late)


def test_a_window_is_not_renewed_while_something_is_in_doubt_nor_during_a_restart() -> None:
    doubtful = replay(
        SESSION_ID,
        [
            *FLOWING,
            records.InputSendRequested(op_id="o3", frame_id="f1", media=Media.TEXT),
            records.InputSendUnknown(op_id="o3", reason=Reason.TIMEOUT),
        ],
    )
    with pytest.raises(RepairNeeded):
        decide(doubtful, commands.Flowed("o2", tally(3), renew=50))
    with pytest.raises(IllegalCommand):
        lost = (records.ConnectionLost(reason=Reason.CONNECTION_LOST),)
        decide(fold(situation("open, audio flowing"), lost), commands.Flowed("o2", tally(3), renew=50))


def test_audio_that_a_restart_overtook_is_unknown_but_for_what_flowed_before_for_certain() -> None:
    restarting = replay(SESSION_ID, [*FLOWING, *RESTART])
    assert kinds(decide(restarting, commands.Flowed("o2", tally(3)))) == [
        "realtime_input_send_unknown",
        "realtime_reconciled",
    ]
    decided = decide(restarting, commands.Unknown("o2", Reason.SUPERSEDED, tally(3)))
    assert fold(restarting, decided).send_cursor == 3


def test_a_frame_that_fails_ends_its_window_with_what_flowed_before_it() -> None:
    state = situation("open, audio flowing")
    decided = decide(state, commands.NotDone("o2", Reason.UNAVAILABLE, tally(3)))
    assert decided == (records.InputSendFailed(op_id="o2", reason=Reason.UNAVAILABLE, window=tally(3)),)
    assert fold(state, decided).send_cursor == 3
    with pytest.raises(ReplayMismatch, match="all it announced"):
        evolve(state, records.InputSendFailed(op_id="o2", reason=Reason.UNAVAILABLE, window=tally(50)))


def test_a_crash_inside_a_window_leaves_it_unknown_up_to_what_it_announced() -> None:
    state = situation("open, audio flowing")
    assert state.open_operations["o2"].frames_max == 50
    decided = decide(state, commands.Recover())
    assert decided == (
        records.InputSendUnknown(op_id="o2", reason=Reason.PROCESS_LOST),
        records.Reconciled(op_id="o2", decision=Decision.ABANDONED),
        records.ConnectionLost(reason=Reason.PROCESS_LOST),
    )
    assert fold(state, decided).send_cursor == 0


def test_audio_that_may_have_left_the_gate_unseen_shares_the_doubt_of_its_window() -> None:
    state = situation("open, frames gated, audio flowing")
    waiting = [frame for frame in state.gated if frame.media is Media.AUDIO]
    decided = decide(state, commands.Recover())
    released = [record for record in decided if isinstance(record, records.BackpressureReleased)]
    assert [record.frame_id for record in released] == [frame.frame_id for frame in waiting]
    assert not fold(state, decided).gated


def test_audio_leaves_the_gate_through_the_open_window_one_record_each() -> None:
    state = situation("open, frames gated, audio flowing")
    for frame_id in ("g1", "g2"):
        decided = decide(state, commands.Release())
        assert decided == (records.BackpressureReleased(frame_id=frame_id),)
        state = fold(state, decided)
    assert decide(state, commands.Release()) == ()


def test_a_receive_rolls_like_a_send() -> None:
    state = situation("open, receiving")
    decided = decide(
        state, commands.Received("o2", events={"OutputAudio": 4}, audio=tally(4), late={"r0": 1}, renew=8)
    )
    assert kinds(decided) == [
        "realtime_output_received",
        "realtime_output_late",
        "realtime_output_receive_requested",
    ]
    assert fold(state, decided).receive_cursor == 4


def test_a_receive_is_not_renewed_once_the_session_closes() -> None:
    state = fold(situation("open, receiving"), (records.ConnectionLost(reason=Reason.CONNECTION_LOST),))
    with pytest.raises(IllegalCommand, match="degraded"):
        decide(state, commands.Received("o2", events={"OutputAudio": 1}, renew=8))


def test_a_window_takes_at_least_one_frame() -> None:
    with pytest.raises(IllegalCommand, match="at least one"):
        decide(situation("open"), commands.OpenWindow(0))
