"""How a session ends: by one hang-up, by giving up, by leaving the scope."""

import asyncio

import pytest

from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.errors import (
    ProviderError,
)
from tests.controller.stage import Stage


def kinds(stage: Stage) -> list[str]:
    return [record.kind.removeprefix("realtime_") for record in stage.writer.appended]


def error_of(request_task: asyncio.Task[object]) -> BaseException | None:
    assert request_task.done()
    return request_task.exception()


def test_all_closers_wait_for_one_hang_up(stage: Stage) -> None:
    stage.hold("close")
    closes = [stage.close() for _ in range(3)]
    stage.settle()
    assert not any(close.task.done() for close in closes)
    stage.decide(stage.undecided[0], "release")
    stage.settle()
    assert [error_of(close.task) for close in closes] == [None, None, None]
    assert [call.method for call in stage.scripted.calls].count("close") == 1


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
    assert isinstance(error_of(close.task), ProviderError)
    assert kinds(stage)[-1] == "close_failed"
    again = stage.close()
    stage.settle()
    assert error_of(again.task) is None
    assert stage.controller.state.phase is Phase.CLOSED


def test_closing_while_it_connects_hangs_up_what_may_have_been_connected() -> None:
    stage = Stage()
    stage.hold("connect")
    connect = stage.connect()
    stage.settle()
    stage.close()
    stage.settle()
    assert isinstance(error_of(connect.task), ProviderError)
    assert kinds(stage) == ["connect_requested", "connect_unknown", "close_requested", "reconciled", "closed"]
    stage.dispose()


def test_failing_makes_no_call_and_leaves_nothing_open(stage: Stage) -> None:
    stage.hold("send")
    send = stage.send()
    receive = stage.receive()
    stage.settle()
    stage.fail()
    stage.settle()
    assert isinstance(error_of(send.task), ProviderError)
    assert isinstance(error_of(receive.task), ProviderError)
    assert stage.controller.state.phase is Phase.FAILED
    assert "close" not in [call.method for call in stage.scripted.calls]


def test_a_close_that_meets_a_failed_session_calls_nobody_without_an_intent(stage: Stage) -> None:
    close = stage.close()
    stage.fail()
    stage.settle()
    assert error_of(close.task) is None
    assert "close" not in [call.method for call in stage.scripted.calls]


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
    assert error_of(request.task) is None
    assert stage.controller.state.phase is Phase.FAILED
