"""Reading through the engine: where it may begin, and what becomes of a reader who is cancelled."""

import asyncio

import pytest

from agentfield_journal import StoreJournal
from agentfield_journal.stores.memory import MemoryStore


class ThreadedMemoryStore(MemoryStore):
    """The memory store behind the threads that a disk would need."""

    blocking = True


@pytest.mark.asyncio
async def test_reading_from_before_the_first_record_is_the_callers_fault() -> None:
    journal = StoreJournal(MemoryStore())
    with pytest.raises(ValueError, match="after 0"):
        await journal.read("run-1", after=-1)
    await journal.close()


@pytest.mark.asyncio
async def test_a_reader_who_is_cancelled_as_its_answer_comes_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise `af journal tail` goes on after Ctrl-C."""
    journal = StoreJournal(ThreadedMemoryStore())
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def begin(*_: object) -> asyncio.Future[object]:
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "run_in_executor", begin)
        reading = asyncio.create_task(journal.run_ids())
        await asyncio.sleep(0)
    answer.set_result([])
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    await journal.close()
