"""What the how-to shows is what there is."""

import re
from pathlib import Path
from typing import Any

from agentfield_rt import Agent
from agentfield_rt.core.records.rules import ActionKind, Channel, Repeat, Scope
from agentfield_rt.rules import Rule, compile_rules
from tests.rules.texts import run

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "stream-rules.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def shown() -> dict[str, Any]:
    """The names that the page's code leaves; the code checks itself."""
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)
    return names


def test_the_example_declares_rules_that_are_taken_and_find_what_they_are_for() -> None:
    app = shown()["app"]
    assert isinstance(app, Agent)
    rules: dict[str, Rule] = {rule.id: rule for rule in app.sessions["voice"].stream_rules}
    assert list(rules) == ["cards", "promises", "large-refunds", "angry"]
    assert run(compile_rules([rules["cards"]]), ["4111 1111-", "11111111."])[0] == "[card]."
    assert run(compile_rules([rules["promises"]]), ["We GUAR", "antee it"])[0] == "We "


def test_the_page_names_every_channel_action_policy_and_scope() -> None:
    actions = ["".join(part.title() for part in kind.split("_")) for kind in ActionKind]
    assert [action for action in actions if f"`{action}(" not in PAGE] == []
    assert [channel.name for channel in Channel if f"`{channel.name}`" not in PAGE] == []
    assert all(
        f"`{repeat.name}`" in PAGE for repeat in Repeat if repeat is not Repeat.ONCE_PER_ATTEMPT_AND_SPAN
    )
    assert all(scope.value.removeprefix("realtime_") in PAGE for scope in Scope)
