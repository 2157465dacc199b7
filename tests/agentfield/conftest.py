"""One plane with two agents, which the tests of this folder share: an agent takes seconds to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agentfield.processes import Field, field_of, sdk_python
from tests.local_provider.provider_process import running_provider

AGENTS = Path(__file__).parent / "agents"

SCENARIO = """
senses: synthetic
pace: instant
turns:
- when: two and three
  call: {name: add, arguments: {a: 2, b: 3}}
- when: sum
  say: That is five.
"""


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    sdk_python()
    folder = tmp_path_factory.mktemp("field")
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO)
    with (
        running_provider("--scenario", str(scenario)) as provider,
        field_of(folder, OPENAI_BASE_URL=f"{provider.url}/v1", OPENAI_API_KEY="any") as field,
    ):
        field.agent(AGENTS / "assistant.py")
        field.agent(AGENTS / "planner.py", TEST_STARTED=str(folder / "started"))
        yield field
