"""Every await point of every call: cancelled there, and failed there by journal and provider."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from agentfield_adapters.scripted import Method
from agentfield_journal import Cursor, Draft, JournalFull, JournalUnavailable
from agentfield_rt.controller import EACH, Backoff
from agentfield_rt.frames import Media
from tests.controller.rig import Request
from tests.controller.stage import SMALL, Stage

TURNS_MAX = 80
WINDOWS = {"each": EACH, "windows": SMALL}
Scenario = Callable[[Stage], Request]


def connect(stage: Stage) -> Request:
    return stage.connect()


def send(stage: Stage) -> Request:
    _connected(stage)
    return stage.send(Media.TEXT)


def send_audio(stage: Stage) -> Request:
    _connected(stage)
    return stage.send(Media.AUDIO)


def send_behind_another(stage: Stage) -> Request:
    _connected(stage)
    stage.send(Media.AUDIO)
    return stage.send(Media.TEXT)


def audio_through_several_windows(stage: Stage) -> Request:
    _connected(stage)
    for _ in range(9):
        stage.send(Media.AUDIO)
    return stage.send(Media.AUDIO)


def audio_that_waits_for_a_stuck_disk(stage: Stage) -> Request:
    """All that was announced has flowed; the next window is not durable yet."""
    _connected(stage)
    stage.send()
    stage.settle()
    stage.writer.stick()
    for _ in range(3):
        stage.send()
    stage.settle()
    last = stage.send()
    stage.turn(3)
    stage.writer.unstick()
    return last


def receive(stage: Stage) -> Request:
    _connected(stage)
    stage.give_response(pieces=3)
    return stage.receive(demand=2)


def receive_that_waits_for_a_stuck_disk(stage: Stage) -> Request:
    _connected(stage)
    stage.give(*(stage.notice() for _ in range(9)))
    stage.receive()
    stage.settle()
    stage.writer.stick()
    stage.receive(demand=4)
    stage.settle()
    last = stage.receive(demand=4)
    stage.turn(3)
    stage.writer.unstick()
    return last


def interrupt(stage: Stage) -> Request:
    _connected(stage)
    response_id = stage.give_response(pieces=1, ends=False)
    stage.receive(demand=2)
    stage.settle()
    return stage.interrupt(response_id)


def interrupt_while_audio_comes(stage: Stage) -> Request:
    _connected(stage)
    response_id = stage.give_response(pieces=1, ends=False)
    for _ in range(2):
        stage.receive(demand=2)
        stage.settle()
    stage.receive(demand=2)
    stage.settle()
    return stage.interrupt(response_id)


def restart(stage: Stage) -> Request:
    _connected(stage)
    stage.send(Media.TEXT)
    stage.receive()
    return stage.restart()


def restart_with_frames_waiting(stage: Stage) -> Request:
    _connected(stage)
    stage.drop()
    stage.receive()
    stage.settle()
    for media in (Media.TEXT, Media.AUDIO, Media.TEXT, Media.AUDIO, Media.AUDIO):
        stage.send(media)
    stage.settle()
    return stage.restart()


def restart_with_a_frame_on_the_wire(stage: Stage) -> Request:
    _connected(stage)
    stage.send()
    stage.settle()
    stage.hold("send")
    stage.send()
    stage.settle()
    return stage.restart()


def reconnect(stage: Stage) -> Request:
    """The first try is refused, the second succeeds."""
    _connected(stage)
    stage.drop()
    stage.receive()
    stage.settle()
    stage.send()
    stage.hold("restart")
    stage.decide(stage.holds[-1], "break")
    return stage.reconnect()


def close(stage: Stage) -> Request:
    _connected(stage)
    stage.receive()
    stage.send()
    return stage.close()


def close_with_a_frame_on_the_wire(stage: Stage) -> Request:
    _connected(stage)
    stage.send()
    stage.settle()
    stage.hold("send")
    stage.send()
    stage.settle()
    return stage.close()


def detach(stage: Stage) -> Request:
    _connected(stage)
    stage.receive()
    stage.send()
    return stage.request("close", stage.controller.detach())


def close_while_it_connects(stage: Stage) -> Request:
    stage.hold("connect")
    stage.connect()
    stage.settle()
    return stage.close()


def close_over_a_full_journal(stage: Stage) -> Request:
    _connected(stage)
    stage.receive()
    stage.settle()
    stage.break_append()
    stage.break_append()
    return stage.close()


def close_over_a_broken_disk(stage: Stage) -> Request:
    _connected(stage)
    stage.break_durable()
    return stage.close()


def _connected(stage: Stage) -> None:
    stage.connect()
    stage.settle()


SCENARIOS = [
    connect,
    send,
    send_audio,
    send_behind_another,
    audio_through_several_windows,
    audio_that_waits_for_a_stuck_disk,
    receive,
    receive_that_waits_for_a_stuck_disk,
    interrupt,
    interrupt_while_audio_comes,
    restart,
    restart_with_frames_waiting,
    restart_with_a_frame_on_the_wire,
    reconnect,
    close,
    close_with_a_frame_on_the_wire,
    detach,
    close_while_it_connects,
    close_over_a_full_journal,
    close_over_a_broken_disk,
]
JOURNAL_FAILS = [close_over_a_full_journal, close_over_a_broken_disk]
"""Scenarios in which the journal fails anyway."""

scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
windows_of = pytest.mark.parametrize("windows", WINDOWS)


def await_points(scenario: Scenario, windows: str) -> Iterator[tuple[int, Stage, Request]]:
    """The scenario stopped after one turn of the loop, after two, and so on until it ends by itself."""
    for turns in range(TURNS_MAX):
        stage = Stage(windows=WINDOWS[windows], backoff=Backoff(first_s=0.0))
        try:
            request = scenario(stage)
            stage.turn(turns)
            if request.task.done():
                return
            yield turns, stage, request
        finally:
            stage.dispose()
    raise AssertionError(f"{scenario.__name__} does not end within {TURNS_MAX} turns")


@windows_of
@scenarios
def test_every_scenario_has_an_await_point(scenario: Scenario, windows: str) -> None:
    assert any(True for _ in await_points(scenario, windows))


@windows_of
@scenarios
@pytest.mark.parametrize("times", [1, 2])
def test_a_call_may_be_cancelled_anywhere(scenario: Scenario, windows: str, times: int) -> None:
    for _, stage, request in await_points(scenario, windows):
        for _ in range(times):
            stage.cancel(request)
            stage.turn(1)
        stage.finish()
        assert request.task.done()


@windows_of
@scenarios
@pytest.mark.parametrize("method", ["connect", "send", "receive", "interrupt", "restart", "close"])
def test_a_call_may_be_cancelled_while_the_provider_has_not_answered(
    scenario: Scenario, windows: str, method: Method
) -> None:
    stage = Stage(windows=WINDOWS[windows])
    try:
        stage.hold(method)
        request = scenario(stage)
        stage.settle()
        stage.cancel(request)
        stage.settle()
        stage.finish()
    finally:
        stage.dispose()


@windows_of
@scenarios
@pytest.mark.parametrize("verdict", ["refuse", "doubt", "lose", "lose before it acts"])
@pytest.mark.parametrize("method", ["connect", "send", "receive", "interrupt", "restart", "close"])
def test_any_adapter_call_may_fail_twice(
    scenario: Scenario, windows: str, method: Method, verdict: str
) -> None:
    stage = Stage(windows=WINDOWS[windows])
    try:
        for _ in range(2):
            stage.hold(method)
            stage.decide(stage.holds[-1], verdict)
        scenario(stage)
        stage.settle()
        stage.pass_time(1.0)
        stage.finish()
    finally:
        stage.dispose()


@windows_of
@scenarios
@pytest.mark.parametrize("times", [1, 2])
def test_the_connection_may_be_lost_at_any_time(scenario: Scenario, windows: str, times: int) -> None:
    for _, stage, _ in await_points(scenario, windows):
        for _ in range(times):
            stage.drop()
            stage.turn(1)
        stage.finish()


@windows_of
@scenarios
@pytest.mark.parametrize("times", [1, 2])
def test_the_session_may_fail_at_any_time(scenario: Scenario, windows: str, times: int) -> None:
    for _, stage, _ in await_points(scenario, windows):
        for _ in range(times):
            stage.fail()
            stage.turn(1)
        stage.finish()


@windows_of
@scenarios
@pytest.mark.parametrize("times", [1, 2])
def test_a_close_may_come_at_any_time(scenario: Scenario, windows: str, times: int) -> None:
    for _, stage, _ in await_points(scenario, windows):
        for _ in range(times):
            stage.close()
            stage.turn(1)
        stage.finish()


@windows_of
@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s not in JOURNAL_FAILS], ids=lambda s: s.__name__
)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("which", ["append", "durable"])
def test_any_append_or_sync_may_fail(scenario: Scenario, windows: str, which: str, times: int) -> None:
    """The n-th fails, or it and the next: no call without an intent, nothing hangs, the session ends."""
    for number in range(TURNS_MAX):
        stage = Stage(windows=WINDOWS[windows])
        try:
            fault = _Fault(stage, which, number, times)
            scenario(stage)
            stage.settle()
            stage.pass_time(30)
            if times > 1:
                fault.stop()  # what the journal could not take is asked for once, at rest
            stage.finish()
            if not fault.happened:
                return
        finally:
            stage.dispose()


class _Fault:
    """Makes the n-th append or sync of a stage fail, and the next ones, so many `times` in all."""

    def __init__(self, stage: Stage, which: str, number: int, times: int) -> None:
        self.happened = 0
        self._times = times
        stage.journal_broke = True
        writer, left = stage.writer, iter(range(number))
        if which == "append":
            append = writer.append

            def failing_append(drafts: Sequence[Draft]) -> Cursor:
                if next(left, None) is None and self.happened < self._times:
                    self.happened += 1
                    writer.broke = True
                    raise JournalFull("no room")
                return append(drafts)

            writer.append = failing_append  # type: ignore[method-assign]
        else:
            durable = writer.durable

            async def failing_durable(cursor: Cursor) -> None:
                if next(left, None) is None and self.happened < self._times:
                    self.happened += 1
                    writer.broke = True
                    raise JournalUnavailable("the disk does not answer")
                await durable(cursor)

            writer.durable = failing_durable  # type: ignore[method-assign]

    def stop(self) -> None:
        """From now on nothing fails."""
        self._times = 0
