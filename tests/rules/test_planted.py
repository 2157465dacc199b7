"""The tests bite: every planted bug turns one of them red."""

import pytest

from tests.rules.planted import PLANTED


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_planted_bug_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, seen_by = PLANTED[wrong]
    plant(monkeypatch)
    with pytest.raises((Exception, pytest.fail.Exception)) as found:
        seen_by()
    assert not isinstance(found.value, NameError | TypeError), "the plant itself is broken"


@pytest.mark.parametrize(
    "wrong", [wrong for wrong in PLANTED if not hasattr(PLANTED[wrong][1], "hypothesis")]
)
def test_without_the_bug_the_same_test_is_content(wrong: str) -> None:
    PLANTED[wrong][1]()
