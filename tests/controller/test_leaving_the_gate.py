"""Frames that leave the gate while the session changes under them."""

import asyncio

import pytest

from agentfield_rt.controller import EACH, Windows
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.frames import Media
from tests.controller.deaf import DEAF_S, deaf
from tests.controller.stage import SMALL, Stage, error_of, kinds, performance

windows_of = pytest.mark.parametrize("windows", [EACH, SMALL], ids=["each", "windows"])
TURNS_MAX = 80
media_of = pytest.mark.parametrize("media", [Media.AUDIO, Media.TEXT])


def gate(stage: Stage, *media: Media) -> None:
    """These frames wait for a connection that the provider holds back."""
    stage.hold("restart")
    stage.restart()
    stage.settle()
    for kind in media:
        stage.send(kind)
    stage.settle()


def test_audio_that_waits_for_the_wire_when_its_session_ends_is_not_sent(flowing: Stage) -> None:
    flowing.adapter.send = deaf  # type: ignore[method-assign]  # it does not hear that it is cancelled
    flowing.send(Media.TEXT)
    flowing.settle()
    gate(flowing, Media.AUDIO)
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    for op_id in flowing.controller.state.unknown:
        flowing.reconcile(op_id)
    flowing.settle()
    assert flowing.controller.state.gated, "the wire is not free"
    flowing.fail()
    flowing.pass_time(2 * DEAF_S)
    assert flowing.controller.state.phase is Phase.FAILED
    assert flowing.controller.state.released_total == 0


@windows_of
@media_of
def test_the_session_may_end_at_any_turn_while_frames_leave_the_gate(windows: Windows, media: Media) -> None:
    for turns in range(TURNS_MAX):
        with performance(windows) as stage:
            gate(stage, media, media, media)
            stage.decide(stage.undecided[0], "release")
            stage.turn(turns % 8)
            stage.send(media)
            stage.turn(turns // 8)
            stage.fail()
            stage.settle()
            assert not stage.running


@windows_of
@media_of
def test_a_frame_that_the_journal_does_not_let_go_waits_on(windows: Windows, media: Media) -> None:
    with performance(windows) as stage:
        gate(stage, media)
        stage.decide(stage.undecided[0], "release")
        while "restart_completed" not in kinds(stage):
            stage.turn(1)
        for _ in range(2):
            stage.break_append()
        stage.settle()
        stage.writer.append_faults.clear()
        assert len(stage.controller.state.gated) == 1
        stage.restart()
        stage.settle()
        assert len(stage.scripted.sent) == 1


def test_frames_whose_release_ends_with_its_loop_are_dropped_at_the_end(flowing: Stage) -> None:
    gate(flowing, Media.TEXT, Media.TEXT)
    flowing.hold("send")
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    restart = flowing.running[0]
    for task in asyncio.all_tasks(flowing.loop):
        if task.get_name().startswith("release sess"):
            task.cancel()
    restart.cancelled = True
    flowing.settle()
    assert restart.task.cancelled()
    assert kinds(flowing)[-1] == "input_send_unknown"
    assert len(flowing.controller.state.gated) == 1


def test_a_frame_whose_adapter_breaks_its_own_deadline_at_once_is_in_doubt(flowing: Stage) -> None:
    async def too_late(frame: object) -> None:
        raise TimeoutError

    flowing.send()
    flowing.settle()
    flowing.adapter.send = too_late  # type: ignore[method-assign]  # a bug in an adapter
    fails = flowing.send()
    flowing.settle()
    assert "did not finish in time" in str(error_of(fails))
    assert kinds(flowing)[-2:] == ["input_send_unknown", "reconciled"]


def test_a_close_leaves_no_frame_on_its_way_out_of_the_gate(flowing: Stage) -> None:
    gate(flowing, Media.TEXT)
    flowing.adapter.send = deaf  # type: ignore[method-assign]  # it does not hear that it is cancelled
    flowing.decide(flowing.undecided[0], "release")
    flowing.settle()
    close = flowing.close()
    flowing.pass_time(2.0)
    assert flowing.controller.state.phase is Phase.CLOSED
    assert not close.task.done()
    flowing.pass_time(DEAF_S)
    assert error_of(close) is None
    flowing.reconcile(next(iter(flowing.controller.state.unknown)))
