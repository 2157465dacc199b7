"""The how-to is run as it stands: its bug is found, its fix passes, its story holds."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from agentfield_rt.testing import RuleBroken
from tests.planting import SEARCH

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "test-your-adapter.md").read_text()
ADAPTER, MACHINE, FIX, STORY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
pytest_plugins = ["pytester"]


def machine_over(adapter: str) -> Any:
    names: dict[str, Any] = {}
    exec(adapter + MACHINE, names)
    return names["AcmeMachine"]


def test_the_machine_takes_forty_lines() -> None:
    lines = [line for line in MACHINE.splitlines() if line.strip()]
    assert len(lines) <= 45


def test_the_bug_is_found() -> None:
    with pytest.raises(RuleBroken, match="nobody received it"):
        run_state_machine_as_test(machine_over(ADAPTER), settings=SEARCH)


def test_the_fix_passes() -> None:
    start = ADAPTER.index("    async def receive")
    end = ADAPTER.index("    async def interrupt")
    fixed = ADAPTER[:start] + FIX + "\n" + ADAPTER[end:]
    run_state_machine_as_test(machine_over(fixed), settings=settings(SEARCH, max_examples=40))


def test_the_single_story_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(textwrap.dedent(STORY))
    options = ("-p", "agentfield_rt.pytest_plugin", "-p", "no:asyncio", "-p", "no:cacheprovider")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)
