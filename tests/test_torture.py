"""`make torture` knows every state machine that the test run knows."""

from importlib import import_module
from pathlib import Path

import pytest
from hypothesis.stateful import RuleBasedStateMachine

from tests.state_machines import MACHINES

HERE = Path(__file__).parent
TESTED = [
    ".".join(path.relative_to(HERE.parent).with_suffix("").parts)
    for path in sorted(HERE.rglob("test_*machine.py"))
]


@pytest.mark.parametrize("name", TESTED)
def test_every_machine_of_the_test_run_is_tortured(name: str) -> None:
    members = vars(import_module(name)).values()
    machines = {
        member.__name__
        for member in members
        if isinstance(member, type)
        and issubclass(member, RuleBasedStateMachine)
        and member is not RuleBasedStateMachine
    }
    assert machines
    assert machines <= set(MACHINES)


@pytest.mark.parametrize(("name", "module"), MACHINES.items())
def test_every_tortured_machine_is_where_it_is_said_to_be(name: str, module: str) -> None:
    assert issubclass(getattr(import_module(module), name), RuleBasedStateMachine)
