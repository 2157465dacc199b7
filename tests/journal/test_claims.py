"""Runs that are opened together are claimed together, and none of them suffers from another."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_journal import JournalConflict, JournalUnavailable, Limits, StoreJournal
from agentfield_journal.claims import TOGETHER_MAX, claim_together
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Claim
from agentfield_journal.testing import make_draft

OWED = TOGETHER_MAX + 44
"""Runs of a process that starts again after a crash, more than are claimed at once."""


class Claiming(MemoryStore):
    """Claims many runs at once, in a thread; a `refused` one spoils all of its group, as in a transaction."""

    blocking = True

    def __init__(self, refused: Sequence[str] = ()) -> None:
        super().__init__()
        self.groups: list[list[str]] = []
        self.refused = frozenset(refused)
        self.answers = threading.Event()
        self.answers.set()

    def claim_all(self, run_ids: Sequence[str], /) -> list[Claim]:
        self.answers.wait()
        self.groups.append(list(run_ids))
        if self.refused.intersection(run_ids):
            raise JournalConflict("archived")
        return [self.claim(run_id) for run_id in run_ids]


async def opened(journal: StoreJournal, run_ids: Sequence[str]) -> list[object]:
    """Open all of them at once: the writer or the error of each."""
    return list(await asyncio.gather(*map(journal.open_run, run_ids), return_exceptions=True))


@pytest.mark.asyncio
async def test_runs_that_are_opened_together_share_a_few_transactions() -> None:
    store = Claiming()
    journal = StoreJournal(store)
    run_ids = [f"run-{number}" for number in range(OWED)]
    writers = await asyncio.gather(*map(journal.open_run, run_ids))
    assert [writer.run_id for writer in writers] == run_ids
    assert len(store.groups) == 2
    assert max(map(len, store.groups)) == TOGETHER_MAX
    for writer in writers:
        await writer.durable(writer.append([make_draft(1)]))
    await journal.close()


@pytest.mark.asyncio
async def test_a_run_that_cannot_be_had_is_refused_alone() -> None:
    journal = StoreJournal(Claiming(refused=["run-3"]))
    answers = await opened(journal, [f"run-{number}" for number in range(9)])
    assert [number for number, answer in enumerate(answers) if isinstance(answer, JournalConflict)] == [3]
    assert not any(isinstance(answer, BaseException) for answer in answers[:3] + answers[4:])
    await journal.close()


@given(run_ids=st.lists(st.sampled_from("abcdef"), min_size=1), refused=st.sets(st.sampled_from("abcdef")))
def test_whichever_are_refused_each_other_one_gets_an_epoch_of_its_own(
    run_ids: list[str], refused: set[str]
) -> None:
    answers = claim_together(Claiming(refused=sorted(refused)), run_ids)
    got = [
        (run_id, answer.epoch)
        for run_id, answer in zip(run_ids, answers, strict=True)
        if isinstance(answer, Claim)
    ]
    assert [run_id for run_id, _ in got] == [run_id for run_id in run_ids if run_id not in refused]
    for run_id in set(run_ids) - refused:
        epochs = [epoch for other, epoch in got if other == run_id]
        assert epochs == list(range(1, len(epochs) + 1))


@pytest.mark.asyncio
async def test_of_two_writers_of_a_run_opened_together_the_later_one_has_it() -> None:
    journal = StoreJournal(Claiming())
    first, second = await asyncio.gather(journal.open_run("run-1"), journal.open_run("run-1"))
    with pytest.raises(JournalConflict):
        first.append([make_draft(1)])
    await second.durable(second.append([make_draft(1)]))
    await journal.close()


@pytest.mark.asyncio
async def test_a_store_that_does_not_answer_keeps_nobody_waiting_for_more_than_one_deadline() -> None:
    store = Claiming()
    store.answers.clear()
    journal = StoreJournal(store, Limits(deadline_s=0.05))
    answers = await opened(journal, [f"run-{number}" for number in range(OWED)])
    assert all(isinstance(answer, JournalUnavailable) for answer in answers)
    store.answers.set()
    assert len(store.groups) <= 1
    await journal.open_run("run-1")
    await journal.close()


@pytest.mark.asyncio
async def test_whoever_gives_up_takes_nothing_from_the_others() -> None:
    store = Claiming()
    journal = StoreJournal(store)
    store.answers.clear()
    first, gone, stays = (
        asyncio.create_task(journal.open_run(run_id)) for run_id in ("run-1", "run-2", "run-3")
    )
    await asyncio.sleep(0)
    gone.cancel()
    store.answers.set()
    assert (await first).run_id == "run-1"
    assert (await stays).run_id == "run-3"
    assert gone.cancelled()
    await journal.close()
