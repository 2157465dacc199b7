"""Groups go down a line while others are in flight, and are acknowledged in order."""

import asyncio
from collections.abc import Callable

import pytest

from agentfield_journal.errors import JournalError, JournalUnavailable
from agentfield_journal.pipelined import PipelinedCommit


class HeldLine:
    """Keeps every answer until told."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.answers: list[Callable[[list[str] | Exception], None]] = []
        self.open = False

    def start(self) -> None:
        self.open = True

    def send(self, group: list[str], answer: Callable[[list[str] | Exception], None], /) -> None:
        self.sent.append(group)
        self.answers.append(answer)

    def answer(self, result: list[str] | Exception) -> None:
        self.answers.pop(0)(result)

    def close(self) -> None:
        self.open = False


class Sink:
    blocking = True

    def commit(self, batches: list[str], /) -> list[str]:
        raise AssertionError("groups go down the line")

    def tend(self) -> None: ...


class Listener:
    def __init__(self) -> None:
        self.stored: list[str] = []
        self.failure: JournalError | None = None

    def committed(self, group: list[str], refused: list[str]) -> None:
        self.stored += [item for item in group if item not in refused]

    def failed(self, failure: JournalError) -> None:
        self.failure = failure

    def late(self) -> None: ...


class Rig:
    """A `PipelinedCommit` whose clock moves only by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.line, self.listener = HeldLine(), Listener()
        self.commit = PipelinedCommit[str](Sink(), self.listener, self.line, deadline_s=5)
        monkeypatch.setattr(self.commit, "_clock", lambda: self.now_s)

    def submit(self, *items: str, each_s: float = 0.0) -> None:
        for item in items:
            self.commit.submit(item)
            self.now_s += each_s

    async def one_group(self, *, stored_in_s: float) -> None:
        """Forty items, prepared in four seconds."""
        self.submit(*map(str, range(40)), each_s=0.1)
        await asyncio.sleep(0)
        assert self.sizes == [40]
        self.now_s += stored_in_s
        self.line.answer([])
        await asyncio.sleep(0)

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.line.sent]

    async def close(self) -> None:
        while self.line.answers:
            self.line.answer([])
            await asyncio.sleep(0)
        await self.commit.close()
        assert not self.line.open


@pytest.mark.asyncio
async def test_a_group_waits_for_the_one_in_flight_while_storing_takes_much_longer_than_preparing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch)
    await rig.one_group(stored_in_s=20)
    rig.submit("a")
    await asyncio.sleep(0)
    rig.submit(*map(str, range(60)), each_s=0.1)
    await asyncio.sleep(0)
    assert rig.sizes == [40, 1]
    rig.line.answer([])
    await asyncio.sleep(0)
    assert rig.sizes == [40, 1, 60]
    await rig.close()
    assert len(rig.listener.stored) == 101


@pytest.mark.asyncio
async def test_one_half_is_stored_while_the_other_is_prepared_when_both_take_about_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch)
    await rig.one_group(stored_in_s=5)
    rig.submit(*map(str, range(70)), each_s=0.1)
    await asyncio.sleep(0)
    assert rig.sizes == [40, 20, 20]
    await rig.close()
    assert rig.listener.stored == [*map(str, range(40)), *map(str, range(70))]


@pytest.mark.asyncio
async def test_few_items_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    for _ in range(3):
        rig.submit(*"abcdefgh", each_s=1.0)
        await asyncio.sleep(0)
        rig.line.answer([])
        await asyncio.sleep(0)
    assert rig.sizes == [8, 8, 8]
    await rig.close()


@pytest.mark.asyncio
async def test_after_a_group_that_failed_nothing_is_acknowledged_or_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch)
    await rig.one_group(stored_in_s=5)
    rig.submit(*map(str, range(40)), each_s=0.1)
    assert rig.sizes == [40, 20, 20]
    rig.line.answer(JournalUnavailable("lost"))
    rig.line.answer([])
    rig.submit("late")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert isinstance(rig.listener.failure, JournalUnavailable)
    assert len(rig.listener.stored) == 40
    assert rig.sizes == [40, 20, 20]
    await rig.commit.close()


@pytest.mark.asyncio
async def test_a_job_runs_after_all_that_was_submitted_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    rig.submit("a")
    job = asyncio.create_task(rig.commit.run(lambda: list(rig.listener.stored)))
    await asyncio.sleep(0)
    assert not job.done() and rig.line.sent == [["a"]]
    rig.line.answer([])
    assert await job == ["a"]
    await rig.close()
