"""The machine bites: every planted bug turns it red, or a story where the machine would search for long."""

import gc
import sys
from collections.abc import Iterator

import pytest

from agentfield_rt.errors import ProviderError, ReplayMismatch
from agentfield_rt.testing import RuleBroken
from tests.controller import planted, planted_flow, planted_referring
from tests.planting import Bug, always

PLANTED = [*planted.BUGS, *planted_flow.BUGS, *planted_referring.BUGS]


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A session that a bug left in the middle of a call is collected here, though its loop is gone."""
    monkeypatch.setattr(sys, "unraisablehook", always(None))
    yield
    gc.collect()


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, RuleBroken, ReplayMismatch, ProviderError)
