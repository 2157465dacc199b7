"""The machine bites: every planted bug turns it red, or a story where the machine would search for long."""

import pytest

from agentfield_rt.errors import RealtimeError
from agentfield_rt.testing import NothingCanHappen
from tests.planting import Bug
from tests.voice.planted_model import PLANTED


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, AssertionError, NothingCanHappen, RealtimeError)
