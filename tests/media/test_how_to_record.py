"""What the how-to shows is what there is."""

import re
from pathlib import Path

from agentfield_rt import Agent

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "record-a-call.md"


def test_the_example_declares_a_session_whose_calls_are_recorded() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(shown, names)
    app = names["app"]
    assert isinstance(app, Agent)
    assert app.sessions["phone"].recorded
