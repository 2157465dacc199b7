"""The how-to is run as it stands: its bug is found, its fix passes, its story holds."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.planting import SEARCH

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "test-your-handler.md").read_text()
HANDLER, MACHINE, FIX, STORY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def names_of(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    return names


def test_the_machine_takes_thirty_lines() -> None:
    assert len([line for line in MACHINE.splitlines() if line.strip()]) <= 30


def test_the_bug_is_found() -> None:
    with pytest.raises(AssertionError):  # it speaks into a call that is over, or once too often
        run_state_machine_as_test(names_of(HANDLER, MACHINE)["TableMachine"], settings=SEARCH)


def test_the_fix_passes() -> None:
    machine = names_of(HANDLER, FIX, MACHINE)["TableMachine"]
    run_state_machine_as_test(machine, settings=settings(SEARCH, max_examples=40))


def test_the_story_holds_once_it_is_fixed() -> None:
    names_of(HANDLER, FIX, MACHINE, STORY)["test_a_caller_hears_that_nothing_can_be_looked_up"]()
