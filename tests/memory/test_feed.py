"""Changes reach whoever watches, in order, and nobody who is slow holds up or fills anything."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.memory import Interest, MemoryRefused, Scope, Section, TooSlow, matches
from agentfield_rt.plane.memory import feed as feed_module
from agentfield_rt.plane.memory.feed import WAITING_BYTES_MAX, WAITING_MAX, Feed, Published

SESSION = Section(Scope.SESSION, "sess_1")


def change(key: str, *, section: Section = SESSION, size: int = 2, at_ns: int = 0) -> Published:
    return Published(section, key, at_ns, b"x" * size)


@given(pattern=st.text(alphabet="ab*.", max_size=12), key=st.text(alphabet="ab.", max_size=12))
def test_a_star_in_a_pattern_stands_for_anything(pattern: str, key: str) -> None:
    expected = re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), key) is not None
    assert matches(pattern, key) is expected


def test_many_stars_cost_no_more_than_few() -> None:
    assert not matches("*a" * 200 + "b", "a" * 512)  # a regular expression would take for ever


@pytest.mark.asyncio
async def test_a_reader_gets_what_it_is_interested_in() -> None:
    feed = Feed()
    interest = Interest(patterns=("user_*", "topic"), scope=Scope.SESSION, scope_id="sess_1")
    async with feed.reading(interest) as reader:
        feed.publish(change("user_1"))
        feed.publish(change("other"))
        feed.publish(change("topic", section=Section(Scope.SESSION, "sess_2")))
        feed.publish(change("topic", section=Section(Scope.ACTOR, "sess_1")))
        feed.publish(change("topic"))
        assert [each.key for each in await reader.take()] == ["user_1", "topic"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("count", "size"), [(WAITING_MAX + 1, 2), (3, WAITING_BYTES_MAX // 2)], ids=["many", "large"]
)
async def test_a_reader_that_is_too_slow_is_told_how_many_it_missed(count: int, size: int) -> None:
    feed = Feed()
    async with feed.reading(Interest()) as slow, feed.reading(Interest(patterns=("last",))) as quick:
        for _ in range(count):
            feed.publish(change("key", size=size))
        feed.publish(change("last"))
        with pytest.raises(TooSlow) as told:
            await slow.take()
        assert told.value.missed == count + 1
        assert [each.key for each in await quick.take()] == ["last"]
        feed.publish(change("after"))
        assert [each.key for each in await slow.take()] == ["after"]


@pytest.mark.asyncio
async def test_a_reader_waits_for_what_is_to_come() -> None:
    feed = Feed()
    async with feed.reading(Interest()) as reader:
        taking = asyncio.create_task(reader.take())
        await asyncio.sleep(0)
        assert not taking.done()
        feed.publish(change("key"))
        assert len(await taking) == 1


def test_the_history_has_the_latest_and_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "REMEMBERED_MAX", 5)
    monkeypatch.setattr(feed_module, "REMEMBERED_BYTES_MAX", 100)
    feed = Feed()
    for number in range(10):
        feed.publish(change(f"key {number}", at_ns=number))
    assert [each.at_ns for each in feed.history(Interest(), since_ns=None, limit=100)] == [5, 6, 7, 8, 9]
    assert [each.at_ns for each in feed.history(Interest(), since_ns=7, limit=100)] == [8, 9]
    assert [each.at_ns for each in feed.history(Interest(), since_ns=None, limit=2)] == [8, 9]
    feed.publish(change("large", size=99, at_ns=10))
    assert [each.at_ns for each in feed.history(Interest(), since_ns=None, limit=100)] == [10]


@pytest.mark.asyncio
async def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(MemoryRefused, match="at most 64 patterns"):
        async with Feed().reading(Interest(patterns=["x"] * 65)):
            pass
