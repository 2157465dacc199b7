"""What the README shows is what there is."""

import re
from pathlib import Path

from agentfield_rt import Agent

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_controller_example_is_the_file_that_is_run() -> None:
    shown = next(block for block in BLOCKS if "RealtimeSessionController" in block)
    assert shown.strip() in (ROOT / "examples" / "controller.py").read_text()


def test_the_agent_example_declares_its_reasoner_and_its_session() -> None:
    shown = next(block for block in BLOCKS if "@app.session" in block)
    names: dict[str, object] = {}
    exec(shown.replace("app.run()", ""), names)
    app = names["app"]
    assert isinstance(app, Agent)
    assert list(app.reasoners) == ["resolve_turn"]
    assert app.sessions["voice"].tools == ("voice-support.resolve_turn",)
