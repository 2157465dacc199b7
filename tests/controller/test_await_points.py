"""Every await point of every call: cancelled there, and failed there by journal and provider."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from agentfield_adapters.scripted import Method
from agentfield_journal import Cursor, Draft, JournalFull, JournalUnavailable
from agentfield_rt.frames import Media
from tests.controller.rig import Request
from tests.controller.stage import Stage

TURNS_MAX = 40
Scenario = Callable[[Stage], Request]


def connect(stage: Stage) -> Request:
    return stage.connect()


def send(stage: Stage) -> Request:
    _connected(stage)
    return stage.send(Media.TEXT)


def send_behind_another(stage: Stage) -> Request:
    _connected(stage)
    stage.send(Media.AUDIO)
    return stage.send(Media.TEXT)


def receive(stage: Stage) -> Request:
    _connected(stage)
    stage.give_response(pieces=3)
    return stage.receive(demand=2)


def interrupt(stage: Stage) -> Request:
    _connected(stage)
    response_id = stage.give_response(pieces=1, ends=False)
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
    for media in (Media.TEXT, Media.AUDIO, Media.TEXT):
        stage.send(media)
    stage.settle()
    return stage.restart()


def close(stage: Stage) -> Request:
    _connected(stage)
    stage.receive()
    stage.send()
    return stage.close()


def close_while_it_connects(stage: Stage) -> Request:
    stage.hold("connect")
    stage.connect()
    stage.settle()
    return stage.close()


def _connected(stage: Stage) -> None:
    stage.connect()
    stage.settle()


SCENARIOS = [
    connect,
    send,
    send_behind_another,
    receive,
    interrupt,
    restart,
    restart_with_frames_waiting,
    close,
    close_while_it_connects,
]
scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


def await_points(scenario: Scenario) -> Iterator[tuple[int, Stage, Request]]:
    """The scenario stopped after one turn of the loop, after two, and so on until it ends by itself."""
    for turns in range(TURNS_MAX):
        stage = Stage()
        try:
            request = scenario(stage)
            stage.turn(turns)
            if request.task.done():
                assert turns > 1, "the scenario has no await point"
                return
            yield turns, stage, request
        finally:
            stage.dispose()
    raise AssertionError(f"{scenario.__name__} does not end within {TURNS_MAX} turns")


@scenarios
@pytest.mark.parametrize("times", [1, 2])
def test_a_call_may_be_cancelled_anywhere(scenario: Scenario, times: int) -> None:
    for _, stage, request in await_points(scenario):
        for _ in range(times):
            stage.cancel(request)
            stage.turn(1)
        stage.finish()
        assert request.task.done()


@scenarios
@pytest.mark.parametrize("method", ["connect", "send", "receive", "interrupt", "restart", "close"])
def test_a_call_may_be_cancelled_while_the_provider_has_not_answered(
    scenario: Scenario, method: Method
) -> None:
    stage = Stage()
    try:
        stage.hold(method)
        request = scenario(stage)
        stage.settle()
        stage.cancel(request)
        stage.settle()
        stage.finish()
    finally:
        stage.dispose()


@scenarios
def test_the_connection_may_be_lost_at_any_time(scenario: Scenario) -> None:
    for _, stage, _ in await_points(scenario):
        stage.drop()
        stage.finish()


@scenarios
def test_the_session_may_fail_at_any_time(scenario: Scenario) -> None:
    for _, stage, _ in await_points(scenario):
        stage.fail()
        stage.finish()


@scenarios
def test_a_close_may_come_at_any_time(scenario: Scenario) -> None:
    for _, stage, _ in await_points(scenario):
        stage.close()
        stage.finish()


@scenarios
@pytest.mark.parametrize("which", ["append", "durable"])
def test_any_single_append_or_sync_may_fail(scenario: Scenario, which: str) -> None:
    """The n-th fails, for every n: no call without an intent, nothing hangs, the session still ends."""
    for number in range(TURNS_MAX):
        stage = Stage()
        try:
            fault = _Fault(stage, which, number)
            scenario(stage)
            stage.settle()
            stage.pass_time(30)
            stage.finish()
            if not fault.happened:
                return
        finally:
            stage.dispose()


class _Fault:
    """Makes the n-th append or sync of a stage fail."""

    def __init__(self, stage: Stage, which: str, number: int) -> None:
        self.happened = False
        stage.journal_broke = True
        writer, left = stage.writer, iter(range(number))
        if which == "append":
            append = writer.append

            def failing_append(drafts: Sequence[Draft]) -> Cursor:
                if next(left, None) is None and not self.happened:
                    self.happened = True
                    raise JournalFull("no room")
                return append(drafts)

            writer.append = failing_append  # type: ignore[method-assign]
        else:
            durable = writer.durable

            async def failing_durable(cursor: Cursor) -> None:
                if next(left, None) is None and not self.happened:
                    self.happened = True
                    raise JournalUnavailable("the disk does not answer")
                await durable(cursor)

            writer.durable = failing_durable  # type: ignore[method-assign]
