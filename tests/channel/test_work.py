"""No work is lost, done twice or done for nobody, whatever becomes of wires, processes and planes."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.agent.remote.executing import Executing
from agentfield_rt.plane.channel.fleet import Fleet
from agentfield_rt.plane.channel.given import GivenExecutions
from tests.channel.work_machine import LEASE_S, Broken, WorkMachine

LOOK = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_no_work_is_lost_nor_done_twice_nor_for_nobody() -> None:
    run_state_machine_as_test(WorkMachine, settings=LOOK)


async def not_done(*_: object) -> None:
    """What was forgotten, and awaited."""


def nothing(*_: object) -> None:
    """What was forgotten."""


Then = Callable[[WorkMachine], None]

FORGOTTEN: dict[str, tuple[type, str, object, Then]] = {
    "a plane that starts is not told what runs": (
        Executing,
        "ids",
        (),
        lambda machine: machine.plane_is_killed_and_another_starts(welcome_is_lost=False),
    ),
    "a plane that starts is not told what ended": (
        Executing,
        "tell_again",
        nothing,
        lambda machine: outcome_is_lost_with_the_plane(machine),
    ),
    "what a process brought with it is lost with the channel it had": (
        GivenExecutions,
        "hand_over",
        nothing,
        lambda machine: machine.plane_is_killed_and_another_starts(welcome_is_lost=True),
    ),
    "what was cancelled is not stopped": (
        GivenExecutions,
        "cancel",
        nothing,
        lambda machine: machine.somebody_cancels(0),
    ),
    "what failed while its process was away goes on when it is back": (
        GivenExecutions,
        "_stop_unwanted",
        not_done,
        lambda machine: machine.process_is_cut_off(0, 2 * LEASE_S),
    ),
    "what a dead process had is waited for": (
        GivenExecutions,
        "lose",
        nothing,
        lambda machine: machine.process_is_killed(0),
    ),
    "what a process had that died with the plane is waited for": (
        Fleet,
        "count_lease",
        nothing,
        lambda machine: machine.plane_and_process_are_killed(),
    ),
}


def outcome_is_lost_with_the_plane(machine: WorkMachine) -> None:
    machine.alive[0].dialer.wires[-1].is_held = True
    machine.what_was_held_goes_on()
    machine.turns_pass(20)
    machine.plane_is_killed_and_another_starts(welcome_is_lost=False)


def run(then: Then) -> None:
    """A process works on something, and `then`."""
    machine = WorkMachine()
    machine.begin()
    machine.work_is_submitted(hold=True)
    machine.time_passes(1.0)
    then(machine)
    machine.teardown()


@pytest.mark.parametrize("wrong", FORGOTTEN)
def test_what_is_forgotten_is_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, forgotten, then = FORGOTTEN[wrong]
    run(then)
    monkeypatch.setattr(where, name, forgotten)
    with pytest.raises(Broken):
        run(then)
