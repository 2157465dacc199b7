"""What the how-to shows is what there is."""

import re
from pathlib import Path

from agentfield_rt import Agent

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "approve-tools.md"


def test_the_example_declares_which_tool_needs_an_approval() -> None:
    shown = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict[str, object] = {}
    exec(shown, names)
    app = names["app"]
    assert isinstance(app, Agent)
    definition = app.sessions["phone"]
    assert definition.tools == ("look_up", "refund")
    assert [(rule.target, rule.expires_after_s) for rule in definition.approvals] == [("refund", 30)]
