"""What keeps a server from its work is said by name, and asking is bounded."""

import asyncio

import pytest

from agentfield_journal import JournalUnavailable
from agentfield_rt.plane.operation import readiness as ready
from agentfield_rt.plane.operation.draining import Draining, Waiting
from agentfield_rt.plane.operation.readiness import NotReady, readiness


class Work:
    """Something live that ends when it is told to."""

    def __init__(self, live: int) -> None:
        self.live = live
        self.over = asyncio.Event()
        self.takes_new = True

    def __len__(self) -> int:
        return self.live

    async def drain(self) -> None:
        self.takes_new = False
        await self.over.wait()


async def well() -> None:
    pass


async def full() -> None:
    raise NotReady("the disk is full")


async def gone() -> None:
    raise JournalUnavailable("the journal is poisoned")


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.asyncio
async def test_every_part_says_what_is_wrong_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "CHECK_MAX_S", 0.01)
    found = await readiness({"a": well, "b": full, "c": gone, "d": hangs})
    assert not found.is_ready
    assert found.parts == {
        "a": "ok",
        "b": "the disk is full",
        "c": "the journal is poisoned",
        "d": "did not answer within 0.01 s",
    }
    assert (await readiness({"a": well})).is_ready


@pytest.mark.asyncio
async def test_draining_closes_both_doors_at_once_and_waits_for_both() -> None:
    sessions, executions = Work(2), Work(1)
    told: asyncio.Future[Waiting] = asyncio.get_running_loop().create_future()
    draining = Draining(sessions, executions)
    end = asyncio.create_task(draining.drain(max_s=20, tell=told.set_result))
    waiting = await told
    assert draining.has_begun
    sessions.over.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not sessions.takes_new
    assert not executions.takes_new
    assert not end.done()
    executions.over.set()
    assert await end
    assert str(waiting).endswith("waiting up to 20 s for 2 calls and 1 execution to end")


@pytest.mark.asyncio
async def test_draining_ends_when_its_time_is_over() -> None:
    assert not await Draining(Work(1), Work(0)).drain(max_s=0.01, tell=lambda _: None)
