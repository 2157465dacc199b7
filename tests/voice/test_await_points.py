"""Every await point of a conversation: cancelled there, and failed there by whoever takes part in it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentfield_rt.testing.call_rig import Asked
from agentfield_rt.testing.call_rules import REST_S, CallStage
from agentfield_rt.testing.fault_journal import FaultJournal, Where
from agentfield_rt.testing.held_calls import METHODS, Method
from agentfield_rt.testing.session_rig import RUN_ID
from tests.voice.scenarios import SCENARIOS, Scenario
from tests.voice.throws import Thrown, Throws

POINTS_MAX = 400
APPENDS_MAX = 60

scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
once_and_twice = pytest.mark.parametrize("times", [1, 2])


def await_points(
    scenario: Scenario, *, where: Callable[[CallStage], object] = lambda _: True
) -> Iterator[tuple[CallStage, Asked]]:
    """The scenario stopped after no turn of the loop, after one, and so on until it is over by itself.

    Of the points that `where` does not want, `test_what_happens_ends_by_itself` tells the rest.
    """
    for turns in range(POINTS_MAX):
        stage, asked = scenario.begin()
        try:
            for _ in range(turns):
                stage.advance()
            if asked.task.done():
                assert turns, "the scenario has no await point"
                return
            if where(stage):
                yield stage, asked
                stage.finish()
        except BaseException as error:
            error.add_note(f"stopped after {turns} turns")
            raise
        finally:
            stage.dispose()
    raise AssertionError(f"{scenario.name} does not end within {POINTS_MAX} turns")


@scenarios
def test_what_happens_ends_by_itself(scenario: Scenario) -> None:
    for _ in await_points(scenario):
        pass


@scenarios
@once_and_twice
def test_who_waits_may_be_cancelled_anywhere(scenario: Scenario, times: int) -> None:
    for stage, asked in await_points(scenario):
        for _ in range(times):
            asked.task.cancel()
            stage.turn()


@scenarios
@once_and_twice
def test_all_tasks_of_a_session_may_be_cancelled_anywhere(scenario: Scenario, times: int) -> None:
    """As at the end of `asyncio.run`: also those that end the session. Asked again, it ends."""
    for stage, _ in await_points(scenario):
        stage.journal_broke = True  # an end that was cancelled is asked for again
        for _ in range(times):
            for task in stage.own_tasks():
                task.cancel()
            stage.turn()


@scenarios
@once_and_twice
def test_any_one_task_of_a_session_may_be_cancelled(scenario: Scenario, times: int) -> None:
    for name in ("listen", "handler", "utterances", "player", "tool", "intervention"):

        def victims(stage: CallStage, name: str = name) -> list[asyncio.Task[Any]]:
            return [task for task in stage.own_tasks() if task.get_name().startswith(name)]

        for stage, _ in await_points(scenario, where=victims):
            victim = victims(stage)[0]
            for _ in range(times):
                victim.cancel()
                stage.turn()


@scenarios
@once_and_twice
def test_the_connection_may_be_lost_at_any_time(scenario: Scenario, times: int) -> None:
    for stage, _ in await_points(scenario):
        for _ in range(times):
            stage.drop()
            stage.turn(3)


@scenarios
@once_and_twice
def test_the_session_may_be_closed_at_any_time(scenario: Scenario, times: int) -> None:
    for stage, _ in await_points(scenario):
        for _ in range(times):
            stage.close()
            stage.turn()


@scenarios
def test_the_caller_may_hang_up_at_any_time(scenario: Scenario) -> None:
    for stage, _ in await_points(scenario):
        stage.hang_up()


@scenarios
@once_and_twice
@pytest.mark.parametrize("where", ["append", "durable"])
def test_the_journal_may_fail_at_any_time(scenario: Scenario, where: Where, times: int) -> None:
    """The next calls fail, whoever makes them."""
    for stage, _ in await_points(scenario):
        stage.journal_broke = True
        for nth in range(times):
            stage.journal.faults.fail(where, nth=nth + 1)
        stage.pass_time(1)


@scenarios
@pytest.mark.parametrize("where", ["append", "durable"])
def test_the_journal_may_fail_anywhere_in_the_end(scenario: Scenario, where: Where) -> None:
    """The n-th call from the beginning of the end fails, for every n."""
    for nth in range(1, APPENDS_MAX):
        stage, _ = scenario.begin()
        try:
            for _ in range(8):
                stage.advance()
            stage.journal_broke = True
            faults = stage.journal.faults
            made = faults.appends_total if where == "append" else faults.durables_total
            faults.fail(where, nth=nth)
            stage.close()
            stage.pass_time(10)
            made = (faults.appends_total if where == "append" else faults.durables_total) - made
            stage.finish()
        except BaseException as error:
            error.add_note(f"{where} {nth}")
            raise
        finally:
            stage.dispose()
        if made < nth:
            return
    raise AssertionError("the end never comes to an end")


@scenarios
def test_the_journal_may_be_gone_from_any_time_on(scenario: Scenario) -> None:
    for stage, _ in await_points(scenario):
        stage.journal_broke = True
        for nth in range(1, APPENDS_MAX):
            stage.journal.faults.fail("append", nth=nth)
            stage.journal.faults.fail("durable", nth=nth)
        stage.close()
        stage.pass_time(10)


@scenarios
@once_and_twice
def test_the_handler_may_raise_at_each_of_its_awaits(scenario: Scenario, times: int) -> None:
    _throw_into_the_handler(scenario, Thrown, times=times)


@scenarios
@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, TimeoutError, RuntimeError])
def test_anything_may_be_raised_at_each_await_of_a_handler(
    scenario: Scenario, error: type[BaseException]
) -> None:
    _throw_into_the_handler(scenario, error)


def _throw_into_the_handler(scenario: Scenario, error: type[BaseException], *, times: int = 1) -> None:
    if scenario.scene().function is None:
        return
    for at in range(POINTS_MAX):
        throws = Throws(at, error, times=times)
        stage, _ = scenario.begin(throws)
        try:
            stage.pass_time(3)
            stage.finish()
        finally:
            stage.dispose()
        if not throws.thrown:
            assert at
            return


@scenarios
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["never answers", "refuses", "doubts", "loses"])
def test_the_provider_may_misbehave_at_every_call(scenario: Scenario, method: Method, how: str) -> None:
    stage, _ = scenario.begin() if method != "connect" else (CallStage(scenario.scene()), None)
    try:
        hold = stage.adapter.hold(method)
        match how:
            case "refuses":
                hold.fail()
            case "doubts":
                hold.doubt()
            case "loses":
                hold.drop()
            case _:
                stage.holds.append(hold)
        if method == "connect":
            stage.connect()
        if method == "restart":
            stage.turn(5)
            stage.drop()
        stage.pass_time(0.5)
        stage.finish()
    finally:
        stage.dispose()


@scenarios
def test_another_owner_may_take_the_run_at_any_time(scenario: Scenario) -> None:
    """Not a record and not an effect of the first one comes after it, but that it hangs up."""
    for turns in range(POINTS_MAX):
        stage, asked = scenario.begin()
        try:
            for _ in range(turns):
                stage.advance()
            is_over = asked.task.done()
            _rob(stage)
        except BaseException as error:
            error.add_note(f"robbed after {turns} turns")
            raise
        finally:
            stage.dispose()
        if is_over:
            return


def _rob(stage: CallStage) -> None:
    stage.journal_broke = True  # whatever it asks of the journal is refused from now on
    stage.run(FaultJournal(stage.store).open_run(RUN_ID))
    known = stage.records()
    stage.user_says()  # whatever it would answer
    closing = stage.close()
    stage.pass_time(REST_S)
    stage.check()
    assert closing.task.done()
    assert stage.session.has_ended
    assert [asked.what for asked in stage.waiting] == []
    assert stage.own_tasks() == []
    assert stage.records() == known
    if stage.provider.connections_total:
        assert stage.adapter.calls[-1].method == "close"
