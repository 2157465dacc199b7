"""A connection that is lost: how it is replaced, how often, and when that is given up."""

import pytest

from agentfield_rt.controller import EACH, Backoff, Windows
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import Limits
from agentfield_rt.errors import IllegalCommand, ProviderError, RestartBudgetSpent
from agentfield_rt.frames import Media
from tests.controller.stage import Stage, error_of, kinds, methods, performance


def patient(jitter: float = 1.0) -> Backoff:
    return Backoff(jitter=lambda: jitter, give_up_s=600.0)


def test_a_connection_that_was_of_use_is_replaced_at_once() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.delay_s(0.0), backoff.delay_s(0.0)] == [0.0, 0.25]
    backoff.connected(1.0)
    backoff.proved()
    assert backoff.delay_s(1.1) == 0.0


def refuse_restarts(stage: Stage, times: int, verdict: str = "break") -> None:
    for _ in range(times):
        stage.hold("restart")
        stage.decide(stage.holds[-1], verdict)


def test_delays_double_up_to_the_longest_and_the_first_try_is_at_once() -> None:
    backoff = Backoff(first_s=0.25, most_s=5.0, jitter=lambda: 1.0)
    assert [backoff.delay_s(0.0) for _ in range(8)] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_draws_a_delay_from_nothing_to_all_of_it() -> None:
    draws = iter([0.0, 0.5, 1.0])
    backoff = Backoff(first_s=4.0, most_s=4.0, jitter=lambda: next(draws))
    assert [backoff.delay_s(0.0) for _ in range(4)] == [0.0, 0.0, 2.0, 4.0]


def test_only_a_connection_that_held_for_a_while_is_replaced_at_once() -> None:
    backoff = Backoff(first_s=1.0, stable_s=10.0, jitter=lambda: 1.0)
    backoff.delay_s(0.0)
    backoff.connected(1.0)
    assert backoff.delay_s(5.0) == 1.0
    backoff.connected(6.0)
    assert backoff.delay_s(16.0) == 0.0


def test_it_is_tried_again_after_growing_delays_until_there_is_a_connection() -> None:
    with performance(backoff=patient()) as stage:
        stage.pass_time(20.0)
        refuse_restarts(stage, 3)
        began_s = stage.loop.time()
        reconnect = stage.reconnect()
        stage.settle()
        for tries, at_s in ((1, 0.0), (2, 0.25), (3, 0.75), (4, 1.75)):
            stage.pass_time(began_s + at_s - stage.loop.time() + 0.001)
            assert methods(stage).count("restart") == tries
        assert error_of(reconnect) is None
        assert stage.controller.state.restart_count == 1


def test_frames_wait_through_all_tries_and_follow_in_order() -> None:
    with performance(backoff=patient()) as stage:
        refuse_restarts(stage, 3)
        stage.reconnect()
        stage.settle()
        frames = [stage.send(media).frame for media in (Media.AUDIO, Media.TEXT, Media.AUDIO)]
        stage.pass_time(5.0)
        assert stage.scripted.sent == frames


def test_a_restart_of_which_nobody_knows_is_given_up_and_replaced() -> None:
    with performance(backoff=patient()) as stage:
        refuse_restarts(stage, 1, "doubt")
        reconnect = stage.reconnect()
        stage.pass_time(2.0)
        assert error_of(reconnect) is None
        story = kinds(stage)
        at = story.index("restart_unknown")
        assert story[at : at + 2] == ["restart_unknown", "reconciled"]


@pytest.mark.parametrize("was_of_use", [True, False])
def test_a_second_loss_waits_unless_the_caller_heard_an_answer_in_between(was_of_use: bool) -> None:
    with performance(backoff=patient()) as stage:
        for _ in range(2):
            stage.reconnect()
            stage.pass_time(0.1)
            if was_of_use:
                stage.controller.proved()
        assert methods(stage).count("restart") == 1 + was_of_use


def test_a_refusal_for_good_is_not_tried_again() -> None:
    with performance(backoff=patient()) as stage:
        refuse_restarts(stage, 1, "refuse")
        reconnect = stage.reconnect()
        stage.pass_time(30.0)
        assert isinstance(error_of(reconnect), ProviderError)
        assert methods(stage).count("restart") == 1
        assert stage.controller.state.phase is Phase.DEGRADED


def test_it_is_not_tried_for_ever() -> None:
    with performance(backoff=Backoff(jitter=lambda: 1.0, give_up_s=3.0)) as stage:
        refuse_restarts(stage, 10)
        reconnect = stage.reconnect()
        stage.pass_time(60.0)
        assert isinstance(error_of(reconnect), ProviderError)
        assert methods(stage).count("restart") == 5


def test_a_session_replaces_its_connection_only_as_often_as_it_may() -> None:
    with performance(EACH, Limits(restarts_max=2), patient()) as stage:
        refuse_restarts(stage, 10)
        reconnect = stage.reconnect()
        stage.pass_time(60.0)
        assert isinstance(error_of(reconnect), RestartBudgetSpent)
        assert methods(stage).count("restart") == 2
        waiting = stage.send()
        stage.settle()
        assert waiting.task.result() is False
        assert stage.controller.state.phase is Phase.DEGRADED


def test_a_close_ends_the_tries() -> None:
    with performance(backoff=patient()) as stage:
        refuse_restarts(stage, 10)
        reconnect = stage.reconnect()
        stage.pass_time(1.0)
        stage.close()
        stage.pass_time(10.0)
        assert isinstance(error_of(reconnect), IllegalCommand)
        assert stage.controller.state.phase is Phase.CLOSED


@pytest.mark.parametrize("windows", [EACH, Windows()], ids=["each", "windows"])
def test_a_lost_connection_degrades_the_session_once(windows: Windows) -> None:
    with performance(windows) as stage:
        receive = stage.receive()
        stage.settle()
        stage.drop()
        stage.settle()
        send = stage.send()
        stage.settle()
        assert isinstance(error_of(receive), ProviderError)
        assert send.task.result() is False
        assert kinds(stage).count("connection_lost") == 1
        stage.restart()
        stage.settle()
        assert stage.scripted.sent == [send.frame]


def test_a_second_restart_at_the_same_time_is_refused(stage: Stage) -> None:
    stage.hold("restart")
    stage.restart()
    stage.settle()
    second = stage.restart()
    stage.settle()
    assert isinstance(error_of(second), IllegalCommand)
    assert methods(stage).count("restart") == 1
