"""The enumeration bites: every planted bug turns it red."""

import pytest

from agentfield_rt.testing import run
from tests.recovery.enumeration import Tally, die_everywhere
from tests.recovery.golden import GOLDEN
from tests.recovery.planted import PLANTED, Planted

STORIES = {golden.name: golden for golden in GOLDEN}
NOT_FOUND_BUT_BROKEN = (AttributeError, NameError, TypeError, ImportError)


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.wrong)
def test_a_planted_bug_is_found(bug: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    with pytest.raises(Exception) as found:  # whatever stops a recovery shows the bug
        run(die_everywhere(STORIES[bug.seen_in], Tally()))
    assert not isinstance(found.value, NOT_FOUND_BUT_BROKEN), "the plant is broken, not recovery"
