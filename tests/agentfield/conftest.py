"""One plane with two agents, which the tests of this folder share: an agent takes seconds to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agentfield.processes import Field, field_of, sdk_python

AGENTS = Path(__file__).parent / "agents"


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    sdk_python()
    folder = tmp_path_factory.mktemp("field")
    with field_of(folder) as field:
        field.agent(AGENTS / "helper.py")
        field.agent(AGENTS / "planner.py", TEST_STARTED=str(folder / "started"))
        yield field
