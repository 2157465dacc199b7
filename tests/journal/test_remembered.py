"""A run remembers every record it has, and takes little room for those that nobody appends again."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_journal import Draft, JournalConflict, open_journal
from agentfield_journal.codec import Seen
from agentfield_journal.remembered import NEWEST_MIN, Remembered

ODD = ("1.0", "1.01", "1.", ".1", "1.-1", "1.²", "1.1 ", "1", "", "2.1.1", "1." + "9" * 30)


@dataclass
class Model:
    """Everything, for ever."""

    records: dict[str, Seen] = field(default_factory=dict[str, Seen])
    last_batch: int = 0

    @property
    def head(self) -> int:
        return len(self.records)


names = st.sampled_from(["1", "2", "1.1", "checkpoint", ""])
sizes = st.integers(1, 2 * NEWEST_MIN)
batches = st.lists(st.tuples(names, sizes, st.booleans(), st.integers(0, 3 * NEWEST_MIN)), max_size=8)
"""Under which name, how many, whether the ids tell their places, how many are not durable yet."""


@given(batches, st.lists(st.tuples(names, st.integers(0, 600)), max_size=5))
def test_what_is_there_is_known_and_nothing_else(
    batches: list[tuple[str, int, bool, int]], guesses: list[tuple[str, int]]
) -> None:
    model, remembered = Model(), Remembered()
    for name, size, by_place, not_durable in batches:
        places = range(model.head + 1, model.head + size + 1)
        batch = {
            f"{name}.{place}" if by_place else f"{name}#{place}": Seen(place, -place) for place in places
        }
        for record_id in batch:
            assert remembered.get(record_id) is None
            assert not remembered.is_in_a_range(record_id)
        remembered.forget_old(durable_seq=model.head - not_durable)
        remembered.newest |= batch
        model.records |= batch
        model.last_batch = size
    kept = list(model.records)[-max(NEWEST_MIN, model.last_batch) :]
    for record_id, seen in model.records.items():
        known, is_old = remembered.get(record_id), remembered.is_in_a_range(record_id)
        assert (known == seen) is not is_old
        assert not (is_old and (record_id in kept or "#" in record_id))
    for unknown in (*ODD, *(f"{name}.{place}" for name, place in guesses)):
        is_known = remembered.get(unknown) is not None or remembered.is_in_a_range(unknown)
        assert is_known == (unknown in model.records)


def test_a_run_whose_ids_tell_their_places_takes_no_more_room_the_longer_it_is() -> None:
    remembered = Remembered()
    for place in range(1, 10_001):
        if len(remembered.newest) >= 2 * NEWEST_MIN:
            remembered.forget_old(durable_seq=place - 1)
        remembered.newest[f"7.{place}"] = Seen(place, 0)
    assert len(remembered.newest) <= 2 * NEWEST_MIN
    assert remembered.ranges == [("7", 1, 10_000 - len(remembered.newest))]
    assert not remembered.others


def drafts(first: int, last: int) -> list[Draft]:
    return [Draft(record_id=f"1.{place}", kind="made", at_ns=place) for place in range(first, last + 1)]


@pytest.mark.asyncio
@pytest.mark.parametrize("reopened", [False, True])
async def test_what_was_appended_long_ago_is_refused_and_what_was_just_appended_is_known(
    reopened: bool,
) -> None:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run")
        for first in range(1, 200, 10):
            cursor = writer.append(drafts(first, first + 9))
            await writer.durable(cursor)
        if reopened:
            await writer.release()
            writer = await journal.open_run("run")
            writer.append([Draft(record_id="one more", kind="made", at_ns=201)])
        head = writer.head.seq
        assert writer.append(drafts(191, 200)).seq == 200
        with pytest.raises(JournalConflict, match="long ago; read it"):
            writer.append(drafts(1, 10))
        with pytest.raises(JournalConflict, match="with different content"):
            writer.append([Draft(record_id="1.200", kind="other", at_ns=200)])
        assert writer.head.seq == head
