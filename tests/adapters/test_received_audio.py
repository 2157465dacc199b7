"""What is cut of an answer whose items came in any order: only what nobody heard, and all of that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.openai.received_audio import RUNS_MAX, Cut, ReceivedAudio

BYTES_PER_MS = 48


def received(*runs: tuple[str, int, int]) -> ReceivedAudio:
    """Runs of (item, part, milliseconds)."""
    audio = ReceivedAudio(BYTES_PER_MS)
    for item_id, content_index, ms in runs:
        audio.add(item_id, content_index, ms * BYTES_PER_MS)
    return audio


@pytest.mark.parametrize(
    ("heard_ms", "cuts"),
    [
        pytest.param(0, [Cut("a", 0), Cut("b", 0)], id="nothing"),
        pytest.param(40, [Cut("a", 40, 0), Cut("b", 0)], id="the beginning of the first"),
        pytest.param(60, [Cut("a", 60, 0), Cut("b", 0)], id="all of its first piece"),
        pytest.param(100, [Cut("a", 60, 0), Cut("b", 40, 0)], id="a part of the second"),
        pytest.param(130, [Cut("a", 80, 0)], id="the first again"),
        pytest.param(150, [], id="everything"),
        pytest.param(9999, [], id="more than there is"),
    ],
)
def test_items_that_interleave_are_cut_as_they_were_played(heard_ms: int, cuts: list[Cut]) -> None:
    audio = received(("a", 0, 60), ("b", 0, 50), ("a", 0, 40))
    assert audio.cuts(heard_ms) == cuts
    assert audio.cuts(heard_ms) == []


def test_parts_of_one_item_are_cut_each_for_itself() -> None:
    audio = received(("a", 0, 60), ("a", 1, 40))
    assert audio.cuts(80) == [Cut("a", 20, 1)]
    assert audio.cuts(30) == [Cut("a", 30, 0), Cut("a", 0, 1)]


RUNS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1), st.integers(0, 90)), max_size=12)


@given(RUNS, st.lists(st.integers(0, 700), min_size=1, max_size=3))
def test_what_stays_of_all_items_is_what_was_heard(
    runs: list[tuple[str, int, int]], heard: list[int]
) -> None:
    """However often it is cut: each item keeps the least that was ever heard of it, and no cut keeps more."""
    audio = received(*runs)
    kept: dict[tuple[str, int], int] = {}
    for item_id, part, ms in runs:
        kept[item_id, part] = kept.get((item_id, part), 0) + ms
    for heard_ms in heard:
        for cut in audio.cuts(heard_ms):
            for key in [key for key in kept if key[0] == cut.item_id and cut.content_index in (None, key[1])]:
                assert cut.keep_ms < kept[key] or cut.content_index is None
                kept[key] = min(kept[key], cut.keep_ms)
    left_ms, expected = min(heard), dict.fromkeys(kept, 0)
    for item_id, part, ms in runs:
        expected[item_id, part] += min(ms, left_ms)
        left_ms -= min(ms, left_ms)
    assert kept == expected


def test_a_provider_that_changes_items_without_end_fills_no_memory() -> None:
    audio = received(*((f"item_{n}", 0, 1) for n in range(RUNS_MAX + 100)))
    assert len(audio.cuts(0)) == RUNS_MAX
