"""The enumeration bites: every planted bug turns it red."""

import pytest

from tests.planting import Bug
from tests.recovery.planted import PLANTED


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch)
