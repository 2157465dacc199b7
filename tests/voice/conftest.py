"""What a call leaves in its journal is audited, whatever the test was about."""

from collections.abc import Iterator

import pytest

SEARCH = {"test_await_points", "test_leaks", "test_planted", "test_rebuilt_conversations"}
"""Their rigs audit every record themselves, as the machines' do."""


@pytest.fixture(autouse=True)
def audited(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.path.stem in SEARCH or request.path.stem.endswith("machine"):
        yield
    else:
        request.getfixturevalue("clean_journals")
        yield
