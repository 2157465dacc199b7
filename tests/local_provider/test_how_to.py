"""The how-to is run as it stands: its tests pass, its faults and its scenario are some."""

import re
from pathlib import Path

import pytest

from agentfield_adapters.local.ears.grammar import words_of
from agentfield_adapters.local.faults.compact import fault_of
from agentfield_adapters.local.faults.fault import Fault, Where
from agentfield_adapters.local.scenario.reading import scenario_of
from agentfield_adapters.openai.dialect import jsgf_prompt
from agentfield_rt import Agent

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "use-the-local-provider.md").read_text()
HEARD, EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(SCENARIO,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
pytest_plugins = ["pytester"]


def test_the_tests_that_it_shows_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(EXAMPLE)
    options = ("-p", "agentfield_adapters.local.pytest_plugin", "-p", "no:asyncio", "-p", "no:cacheprovider")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=2)


def test_the_phrases_that_it_shows_are_a_grammar() -> None:
    app = Agent("desk")
    exec(f"{HEARD}async def voice(session): ...", {"app": app})
    grammar = jsgf_prompt(app.sessions["voice"].config)
    assert grammar is not None
    assert {"order", "very", "three"} <= words_of(grammar)


def test_the_scenario_that_it_shows_is_one() -> None:
    scenario = scenario_of(SCENARIO)
    assert [turn.say for turn in scenario.turns] == [None, "Anything else?"]
    assert all(isinstance(fault, Fault) for fault in scenario.faults)


def test_the_faults_that_it_names_are_some() -> None:
    named = re.findall(r"--fault \"?([^\s\"]+)", PAGE) + re.findall(r'base_url\("([^"]+)"', PAGE)
    assert len([fault_of(text) for text in named]) == 4


def test_every_place_and_option_is_told() -> None:
    assert [where for where in Where if f"`{where}`" not in PAGE and f"={where}`" not in PAGE] == []
    options = {"at", "type", "after", "where", "times", "chance", "retry_after_s", "reason"}
    assert [option for option in options if f"`{option}=" not in PAGE] == []
