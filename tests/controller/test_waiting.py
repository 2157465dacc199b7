"""Frames that wait for a restart: what each policy does with them, and that each has one fate."""

from collections.abc import Sequence

import pytest

from agentfield_rt.controller import EACH, Windows
from agentfield_rt.core import records
from agentfield_rt.core.records import GatePolicy, Limits
from agentfield_rt.errors import GateOverflow, IllegalCommand
from agentfield_rt.frames import Media
from tests.controller.rig import Request
from tests.controller.stage import SMALL, Stage, error_of, performance

HIGH, LOW = 4, 2
windows_of = pytest.mark.parametrize("windows", [EACH, SMALL], ids=["each", "windows"])


def limits(policy: GatePolicy) -> Limits:
    return Limits(policy=policy, high_water=HIGH, low_water=LOW)


def send(stage: Stage, times: int, media: Media = Media.AUDIO) -> list[Request]:
    requests = [stage.send(media) for _ in range(times)]
    stage.settle()
    return requests


def begin_restart(stage: Stage) -> None:
    stage.hold("restart")
    stage.restart()
    stage.settle()


def end_restart(stage: Stage) -> None:
    stage.decide(stage.undecided[0], "release")
    stage.settle()


def frames(requests: Sequence[Request]) -> list[object]:
    return [request.frame for request in requests]


@windows_of
def test_where_too_many_wait_the_next_is_refused_and_leaves_no_record(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.GATE)) as stage:
        begin_restart(stage)
        taken = send(stage, HIGH)
        before = len(stage.writer.appended)
        (refused,) = send(stage, 1)
        assert isinstance(error_of(refused), GateOverflow)
        assert len(stage.writer.appended) == before
        end_restart(stage)
        assert stage.scripted.sent == frames(taken)


@windows_of
def test_a_full_gate_takes_frames_again_at_its_low_water(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.GATE)) as stage:
        begin_restart(stage)
        taken = send(stage, HIGH)
        answers = [stage.scripted.hold("send") for _ in range(HIGH)]
        end_restart(stage)
        left = {HIGH - 1: GateOverflow, LOW: None}
        for answer in answers:
            if len(stage.controller.state.gated) in left:
                expected = left.pop(len(stage.controller.state.gated))
                (newcomer,) = send(stage, 1, Media.TEXT)
                if expected is None:
                    assert newcomer.task.result() is False
                    taken.append(newcomer)
                else:
                    assert isinstance(error_of(newcomer), expected)
            answer.release()
            stage.settle()
        assert left == {}
        assert stage.scripted.sent == frames(taken)


@windows_of
def test_a_blocked_sender_goes_on_when_the_gate_takes_frames_again(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.BLOCK)) as stage:
        begin_restart(stage)
        taken = send(stage, HIGH)
        blocked = [*send(stage, 2), *send(stage, 1, Media.TEXT)]
        stage.pass_time(4.0)
        assert not any(request.task.done() for request in blocked)
        end_restart(stage)
        stage.settle()
        assert all(error_of(request) is None for request in blocked)
        audio = [frame for frame in stage.scripted.sent if frame.media is Media.AUDIO]
        assert audio == frames([*taken, *blocked[:2]])
        assert len(stage.scripted.sent) == HIGH + 3


@windows_of
@pytest.mark.parametrize("how", ["close", "fail"])
def test_a_blocked_sender_hears_of_the_end(windows: Windows, how: str) -> None:
    with performance(windows, limits(GatePolicy.BLOCK)) as stage:
        begin_restart(stage)
        send(stage, HIGH)
        (blocked,) = send(stage, 1)
        stage.fail() if how == "fail" else stage.close()
        stage.settle()
        assert isinstance(error_of(blocked), IllegalCommand)
        assert stage.scripted.sent == []


@windows_of
def test_a_blocked_sender_may_go_away(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.BLOCK)) as stage:
        begin_restart(stage)
        taken = send(stage, HIGH)
        gone, stays = send(stage, 2)
        stage.cancel(gone)
        end_restart(stage)
        stage.settle()
        assert stage.scripted.sent == frames([*taken, stays])


@windows_of
def test_the_oldest_audio_makes_room_and_no_text_does(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.DROP_OLDEST_MEDIA)) as stage:
        begin_restart(stage)
        texts = send(stage, 2, Media.TEXT)
        send(stage, 2)
        latest = send(stage, 2)
        dropped = [r for r in stage.writer.appended if isinstance(r, records.InputDropped)]
        assert len(dropped) == 2
        end_restart(stage)
        assert stage.scripted.sent == frames([*texts, *latest])


def test_audio_is_refused_where_only_text_waits() -> None:
    with performance(EACH, limits(GatePolicy.DROP_OLDEST_MEDIA)) as stage:
        begin_restart(stage)
        send(stage, HIGH, Media.TEXT)
        (refused,) = send(stage, 1)
        assert isinstance(error_of(refused), GateOverflow)
        end_restart(stage)


@windows_of
def test_where_no_frame_may_wait_it_is_refused(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.FAIL_SEND)) as stage:
        begin_restart(stage)
        (refused,) = send(stage, 1)
        assert isinstance(error_of(refused), GateOverflow)
        end_restart(stage)
        send(stage, 1)
        assert len(stage.scripted.sent) == 1


@windows_of
def test_frames_before_the_wire_are_bounded_too(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.GATE)) as stage:
        stage.hold("send")
        taken, refused = [stage.send() for _ in range(HIGH)], stage.send()
        stage.settle()
        assert isinstance(error_of(refused), GateOverflow)
        stage.decide(stage.undecided[0], "release")
        stage.settle()
        assert stage.scripted.sent == frames(taken)


@windows_of
def test_a_frame_that_fails_on_its_way_out_of_the_gate_does_not_keep_the_next(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.GATE)) as stage:
        begin_restart(stage)
        taken = send(stage, 3)
        first = stage.scripted.hold("send")
        end_restart(stage)
        first.lose(acted=False)
        stage.settle()
        assert stage.controller.state.phase == "degraded"
        assert len(stage.controller.state.gated) == 2
        stage.restart()
        stage.settle()
        assert stage.scripted.sent == frames(taken[1:])


@windows_of
def test_frames_that_leave_the_gate_are_overtaken_by_no_newcomer(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.GATE)) as stage:
        begin_restart(stage)
        early = send(stage, 2)
        answer = stage.scripted.hold("send")
        end_restart(stage)
        late = send(stage, 2)
        answer.release()
        stage.settle()
        stage.settle()
        assert stage.scripted.sent == frames([*early, *late])


@windows_of
def test_what_waits_at_the_end_is_dropped(windows: Windows) -> None:
    with performance(windows, limits(GatePolicy.GATE)) as stage:
        begin_restart(stage)
        waiting = send(stage, 3)
        stage.close()
        stage.settle()
        dropped = [r.frame_id for r in stage.writer.appended if isinstance(r, records.InputDropped)]
        assert dropped == [request.frame.frame_id for request in waiting if request.frame]
        assert stage.scripted.sent == []
