"""How a session ends: by one hang-up, by giving up, by leaving the scope."""

import pytest

from agentfield_journal import JournalFull, JournalUnavailable
from agentfield_rt.controller import EACH, Windows
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.errors import CloseReason, IllegalCommand, ProviderError
from agentfield_rt.frames import Media
from tests.controller.deaf import deaf
from tests.controller.stage import SMALL, Stage, error_of, kinds, methods, performance


def test_all_closers_wait_for_one_hang_up(stage: Stage) -> None:
    stage.hold("close")
    closes = [stage.close() for _ in range(3)]
    stage.settle()
    assert not any(close.task.done() for close in closes)
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert [error_of(close) for close in closes] == [None, None, None]
    assert methods(stage).count("close") == 1


@pytest.mark.parametrize("windows", [EACH, SMALL], ids=["each", "windows"])
def test_a_close_wins_over_a_restart_that_the_provider_has_not_heard_of(windows: Windows) -> None:
    with performance(windows) as stage:
        stage.writer.stick()
        restart = stage.restart()
        stage.turn(1)
        close = stage.close()
        stage.turn(4)
        stage.writer.unstick()
        stage.settle()
        assert error_of(close) is None
        assert isinstance(error_of(restart), ProviderError)
        assert methods(stage) == ["connect", "close"]


def test_a_cancelled_closer_does_not_stop_the_hang_up(stage: Stage) -> None:
    stage.hold("close")
    close = stage.close()
    stage.settle()
    stage.cancel(close)
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert stage.controller.state.phase is Phase.CLOSED


def test_a_refused_hang_up_may_be_asked_for_again(stage: Stage) -> None:
    stage.hold("close")
    close = stage.close()
    stage.settle()
    stage.decide(stage.undecided[0], "refuse")
    stage.settle()
    assert isinstance(error_of(close), ProviderError)
    assert kinds(stage)[-1] == "close_failed"
    again = stage.close()
    stage.settle()
    assert error_of(again) is None
    assert stage.controller.state.phase is Phase.CLOSED


def test_closing_while_it_connects_hangs_up_what_may_have_been_connected() -> None:
    stage = Stage()
    stage.hold("connect")
    connect = stage.connect()
    stage.settle()
    stage.close()
    stage.settle()
    assert isinstance(error_of(connect), ProviderError)
    assert kinds(stage) == ["connect_requested", "connect_unknown", "close_requested", "reconciled", "closed"]
    stage.dispose()


def test_failing_makes_no_call_and_leaves_nothing_open(stage: Stage) -> None:
    stage.hold("send")
    send = stage.send()
    receive = stage.receive()
    stage.settle()
    stage.fail()
    stage.settle()
    assert isinstance(error_of(send), ProviderError)
    assert isinstance(error_of(receive), ProviderError)
    assert stage.controller.state.phase is Phase.FAILED
    assert "close" not in methods(stage)


def test_a_close_that_meets_a_failed_session_calls_nobody_without_an_intent(stage: Stage) -> None:
    close = stage.close()
    stage.fail()
    stage.settle()
    assert error_of(close) is None
    assert "close" not in methods(stage)


@pytest.mark.parametrize(("raises", "reason"), [(False, "normal"), (True, "cancel")])
def test_leaving_the_scope_hangs_up(stage: Stage, raises: bool, reason: str) -> None:
    async def scope() -> None:
        async with stage.controller:
            if raises:
                raise LookupError

    request = stage.request("receive", scope())
    stage.settle()
    assert isinstance(request.task.exception(), LookupError) is raises
    request.checked = True
    assert stage.controller.state.close_reason == reason


def test_leaving_the_scope_ends_the_session_even_if_the_provider_refuses_to_hang_up(stage: Stage) -> None:
    async def scope() -> None:
        async with stage.controller:
            pass

    stage.hold("close")
    request = stage.request("close", scope())
    stage.settle()
    stage.decide(stage.undecided[0], "refuse")
    stage.settle()
    assert error_of(request) is None
    assert stage.controller.state.phase is Phase.FAILED


def test_a_scope_that_never_connected_leaves_no_record() -> None:
    stage = Stage()
    try:

        async def scope() -> None:
            async with stage.controller:
                pass

        request = stage.request("close", scope())
        stage.settle()
        assert error_of(request) is None
        assert kinds(stage) == []
    finally:
        stage.dispose()


@pytest.mark.parametrize("windows", [EACH, Windows()], ids=["each", "windows"])
def test_a_close_ends_what_is_pending_and_answers_it(windows: Windows) -> None:
    with performance(windows) as stage:
        stage.hold("send")
        pending = [stage.receive(), stage.send(), stage.send(Media.TEXT)]
        stage.settle()
        close = stage.close()
        stage.pass_time(2.0)
        assert error_of(close) is None
        assert all(isinstance(error_of(request), ProviderError | IllegalCommand) for request in pending)
        assert kinds(stage)[-1] == "closed"


def test_a_call_that_does_not_settle_in_time_does_not_keep_the_hang_up() -> None:
    with performance(Windows(frames_max=4, events_max=4)) as stage:
        stage.adapter.send = deaf  # type: ignore[method-assign]  # it does not hear that it is cancelled
        stage.give(stage.notice())
        stage.receive()
        frame = stage.send()
        stage.settle()
        close = stage.close()
        stage.pass_time(1.5)
        assert error_of(close) is None
        assert stage.controller.state.phase is Phase.CLOSED
        stage.pass_time(10.0)
        assert isinstance(error_of(frame), ProviderError)


def test_a_detached_call_is_left_to_the_host(stage: Stage) -> None:
    detach = stage.request("close", stage.controller.detach())
    stage.settle()
    assert error_of(detach) is None
    assert kinds(stage)[-2:] == ["close_requested", "detached"]
    assert stage.controller.state.phase is Phase.DETACHED
    assert stage.scripted.calls[-1].argument is CloseReason.DETACH
    again = stage.close()
    late = stage.send()
    stage.settle()
    assert error_of(again) is None
    assert isinstance(error_of(late), IllegalCommand)
    assert methods(stage).count("close") == 1


def test_an_open_microphone_is_hung_up_on_though_the_journal_takes_no_records(stage: Stage) -> None:
    stage.receive()
    stage.settle()
    for _ in range(9):
        stage.break_append()
    close = stage.close()
    stage.settle()
    assert isinstance(error_of(close), JournalFull)
    assert methods(stage)[-1] == "close"
    assert "close_requested" not in kinds(stage)
    stage.writer.append_faults.clear()
    again = stage.close()
    stage.settle()
    assert error_of(again) is None
    last = stage.writer.appended[-1]
    assert last == records.EmergencyClosed(reason=CloseReason.NORMAL, told=True)
    assert methods(stage).count("close") == 1
    assert stage.controller.state.phase is Phase.CLOSED


def test_what_is_owed_comes_before_anything_else(stage: Stage) -> None:
    stage.break_durable()
    close = stage.close()
    stage.settle()
    assert isinstance(error_of(close), JournalUnavailable)
    refused = stage.send()
    stage.settle()
    assert isinstance(error_of(refused), IllegalCommand)
    assert kinds(stage)[-1] == "emergency_closed"


@pytest.mark.parametrize("verdict", ["refuse", "lose"])
def test_an_emergency_close_that_nobody_confirmed_says_so(stage: Stage, verdict: str) -> None:
    stage.hold("close")
    stage.decide(stage.holds[-1], verdict)
    stage.break_durable()
    stage.close()
    stage.settle()
    stage.reconcile("nothing")
    assert stage.writer.appended[-1] == records.EmergencyClosed(reason=CloseReason.NORMAL, told=False)
    stage.close()
    stage.settle()
    assert methods(stage).count("close") == 1


def test_a_session_that_fails_while_it_is_hung_up_on_in_an_emergency_tells_of_that(stage: Stage) -> None:
    stage.hold("close")
    stage.break_append()
    stage.close()
    stage.settle()
    assert methods(stage)[-1] == "close"
    stage.fail()
    assert stage.writer.appended[-1] == records.EmergencyClosed(reason=CloseReason.NORMAL, told=False)
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    stage.reconcile("nothing")
    assert kinds(stage).count("emergency_closed") == 1
    assert stage.controller.state.phase is Phase.CLOSED


@pytest.mark.parametrize("begin", ["receive", "send", "restart"])
def test_nothing_begins_while_the_provider_is_hung_up_on_in_an_emergency(stage: Stage, begin: str) -> None:
    stage.hold("close")
    stage.break_append()
    stage.close()
    stage.settle()
    before = kinds(stage)
    refused = getattr(stage, begin)()
    stage.settle()
    assert isinstance(error_of(refused), IllegalCommand)
    assert kinds(stage) == before
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    stage.reconcile("nothing")
    assert stage.writer.appended[-1] == records.EmergencyClosed(reason=CloseReason.NORMAL, told=True)


def test_an_emergency_close_has_a_deadline(stage: Stage) -> None:
    stage.hold("close")
    stage.break_durable()
    close = stage.close()
    stage.pass_time(5.1)
    assert isinstance(error_of(close), JournalUnavailable)
    stage.reconcile("nothing")
    assert stage.writer.appended[-1] == records.EmergencyClosed(reason=CloseReason.NORMAL, told=False)


def test_a_hang_up_that_the_journal_did_not_hear_of_is_not_repeated(stage: Stage) -> None:
    stage.hold("close")
    close = stage.close()
    stage.settle()
    for _ in range(3):
        stage.break_append()
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert isinstance(error_of(close), JournalFull)
    stage.writer.append_faults.clear()
    again = stage.close()
    stage.settle()
    assert error_of(again) is None
    assert methods(stage).count("close") == 1
    assert stage.controller.state.phase is Phase.CLOSED
