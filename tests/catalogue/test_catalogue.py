"""The catalogue is a fold of the journal, whatever happens to the process that keeps it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentfield_journal import Draft, Envelope, JournalUnavailable, StoreJournal, open_journal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch, StoredRow
from agentfield_rt.core import records
from agentfield_rt.plane.catalogue import catalogue as module
from agentfield_rt.plane.catalogue import fold, projection, tables
from agentfield_rt.plane.catalogue.catalogue import Catalogue, open_catalogue
from agentfield_rt.plane.catalogue.listing import EXECUTIONS, RUNS, SESSIONS, Filters
from agentfield_rt.plane.catalogue.projection import Projection
from agentfield_rt.plane.catalogue.rows import RunRow, RunTotals
from agentfield_rt.plane.errors import BadRequest
from tests.catalogue.worlds import Differs, World, run_world
from tests.planting import Plant, noticed

SEEDS = range(16)
SEEDS_TO_A_BUG = range(60)


@pytest.mark.parametrize("hurry", [20_000, 3])
def test_the_catalogue_is_what_the_journal_says_after_any_writes_kills_and_damage(
    hurry: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_RECORDS_MAX", hurry)
    for seed in SEEDS:
        asyncio.run(run_world(seed, tmp_path / f"{seed}.db"))


def _drops_what_comes_too_fast(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "WAITING_RECORDS_MAX", 3)

    def passes_over(self: Any) -> None:
        pass

    patch.setattr(Catalogue, "_fall_behind", passes_over)


def _takes_what_does_not_follow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "WAITING_RECORDS_MAX", 3)

    def follows(self: Any, run_id: str, rows: Sequence[StoredRow], into: Any) -> bool:
        known = into.known.get(run_id)
        if known is not None and rows[0][0] > known.seq + 1:
            known.seq = rows[0][0] - 1
        return bool(original(self, run_id, rows, into))

    original: Any = Projection._fold  # pyright: ignore[reportPrivateUsage]
    patch.setattr(Projection, "_fold", follows)


def _asks_before_it_has_written(patch: pytest.MonkeyPatch) -> None:
    async def read(self: Any, query: Any) -> Any:
        return await self._in_thread(lambda: query(self._projection))

    patch.setattr(Catalogue, "read", read)


def _reads_nothing_at_its_start(patch: pytest.MonkeyPatch) -> None:
    async def read_journal(self: Any) -> None:
        pass

    patch.setattr(Catalogue, "read_journal", read_journal)


def _forgetting(patch: pytest.MonkeyPatch, kind: str, **always: object) -> None:
    """The change of a kind, made as if the row it finds were another."""
    change = fold.CHANGES[kind]

    def changes(of: fold.RunFold, envelope: Envelope, record: Any) -> None:
        key = getattr(record, "op_id", None) or record.execution_id
        row = of.executions.find(key)
        for name, value in always.items():
            if row is not None:
                setattr(row, name, value)
        change(of, envelope, record)

    patch.setitem(projection._KINDS, kind, (changes, projection._KINDS[kind][1]))  # pyright: ignore[reportPrivateUsage]


def _a_report_moves_what_has_ended(patch: pytest.MonkeyPatch) -> None:
    _forgetting(patch, records.SubcallReported.kind, ended_at_ns=None)


def _a_report_moves_what_is_ours(patch: pytest.MonkeyPatch) -> None:
    _forgetting(patch, records.SubcallReported.kind, is_reported=True)


def _an_outcome_comes_twice(patch: pytest.MonkeyPatch) -> None:
    _forgetting(patch, records.ExecutionCancelled.kind, ended_at_ns=None)


def _one_run_changes_another(patch: pytest.MonkeyPatch) -> None:
    def finder(self: Any, db: Any, run_id: str) -> Any:
        def find(key: str) -> Any:
            found = self.select(db, f"{self.name} WHERE {column[self.name]} = ? LIMIT 1", (key,))
            return found[0] if found else None

        return find

    column = {"executions": "execution_id", "sessions": "session_id", "turns": "turn_id"}
    patch.setattr(tables.Table, "finder", finder)


@pytest.mark.parametrize(
    "plant",
    [
        _drops_what_comes_too_fast,
        _takes_what_does_not_follow,
        _asks_before_it_has_written,
        _reads_nothing_at_its_start,
        _a_report_moves_what_has_ended,
        _a_report_moves_what_is_ours,
        _an_outcome_comes_twice,
        _one_run_changes_another,
    ],
)
def test_a_planted_bug_is_found(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with noticed(plant, monkeypatch, Differs):
        for seed in SEEDS_TO_A_BUG:
            asyncio.run(run_world(seed, tmp_path / f"{seed}.db"))


@pytest.mark.asyncio
async def test_another_journal_under_an_old_catalogue_is_told_from_the_first(tmp_path: Path) -> None:
    for seed in (1, 2):  # the same runs with other records, as after a restored copy
        world = World(seed, tmp_path / "catalogue.db")
        await world.live()
        for _ in range(20):
            await world.write()
        await world.check()
        await world.stop()
        await world.journal.close()


@pytest.mark.asyncio
async def test_a_run_that_left_the_journal_leaves_the_catalogue(tmp_path: Path) -> None:
    first, second = StoreJournal(MemoryStore()), StoreJournal(MemoryStore())
    for journal, run_ids in ((first, ["a", "b"]), (second, ["a"])):
        for run_id in run_ids:
            writer = await journal.open_run(run_id)
            writer.append([Draft(record_id="1", kind="run_completed", at_ns=1)])
            await writer.release()
    for journal, left in ((first, ["a", "b"]), (second, ["a"])):
        async with open_catalogue(tmp_path / "catalogue.db", journal) as catalogue:
            found = await catalogue.read(lambda db: db.select(RunRow, "runs ORDER BY run_id"))
            assert [run.run_id for run in found] == left
        await journal.close()


@pytest.mark.asyncio
async def test_only_runs_without_a_last_record_are_open(tmp_path: Path) -> None:
    async with open_journal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        async with open_catalogue(tmp_path / "catalogue.db", journal) as catalogue:
            for run_id, kind in (("ended", "run_completed"), ("open", "turn_completed")):
                writer = await journal.open_run(run_id)
                writer.append([Draft(record_id="1", kind=kind, at_ns=1, payload=b"\x81\xa5op_id\xa1t")])
                await writer.release()
            assert [run.run_id for run in await catalogue.open_runs()] == ["open"]
            assert await catalogue.run("nobody") is None
            assert await catalogue.execution("nobody") is None


def _telling(failed: asyncio.Event, catalogue: Catalogue) -> Any:
    behind = catalogue._fall_behind  # pyright: ignore[reportPrivateUsage]

    def tell() -> None:
        behind()
        failed.set()

    return tell


@pytest.mark.asyncio
async def test_a_catalogue_that_cannot_be_written_never_touches_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Projection, batches: Sequence[Batch]) -> bool:
        raise OSError

    world = World(7, tmp_path / "catalogue.db")
    await world.live()
    with monkeypatch.context() as patch:
        patch.setattr(Projection, "apply", broken)
        await world.write()
        await world.settle()
        assert world.catalogue is not None
        world.write_down()
        failed = asyncio.Event()
        patch.setattr(world.catalogue, "_fall_behind", _telling(failed, world.catalogue))
        await failed.wait()
    await world.check()  # and it reads in the journal what it could not write
    await world.stop()
    await world.journal.close()


@pytest.mark.asyncio
async def test_lists_are_filtered_paged_and_bounded(tmp_path: Path) -> None:
    world = World(3, tmp_path / "catalogue.db")
    await world.live()
    for _ in range(60):
        await world.write()
    await world.settle()
    catalogue = world.catalogue
    assert catalogue is not None
    everything = await catalogue.page(EXECUTIONS, limit=500)
    assert everything.total == len(everything.rows) > 10
    times = [row.queued_at_ns for row in everything.rows]
    assert times == sorted(times, reverse=True)
    paged = [
        (await catalogue.page(EXECUTIONS, limit=3, offset=at)).rows for at in range(0, everything.total, 3)
    ]
    assert [row for rows in paged for row in rows] == list(everything.rows)
    for field in ("run_id", "status", "session_id"):
        value = getattr(everything.rows[0], field)
        found = await catalogue.page(EXECUTIONS, Filters(**{field: value}), limit=500)
        assert list(found.rows) == [row for row in everything.rows if getattr(row, field) == value]
    live = await catalogue.page(SESSIONS, Filters(live=True, target="desk.phone", node_id="desk"), limit=10)
    assert all(row.ended_at_ns is None for row in live.rows)
    since = everything.rows[2].queued_at_ns
    assert (await catalogue.page(EXECUTIONS, Filters(since_ns=since), limit=10)).total == 3
    runs = await catalogue.page(RUNS, Filters(session_id="sess_run_1"), limit=10)
    assert [run.run_id for run in runs.rows] == ["run_1"]
    assert len((await catalogue.page(EXECUTIONS, limit=10**9)).rows) == everything.total
    with pytest.raises(BadRequest, match="sessions cannot be filtered by actor_id"):
        await catalogue.page(SESSIONS, Filters(actor_id="x"), limit=1)
    totals = await catalogue.read(lambda db: db.select(RunTotals, "run_totals"))
    assert sum(each.executions_total for each in totals) == everything.total
    await world.stop()
    await world.journal.close()


@pytest.mark.asyncio
async def test_a_journal_that_closes_leaves_the_catalogue_readable_until_it_is_closed(tmp_path: Path) -> None:
    world = World(5, tmp_path / "catalogue.db")
    await world.live()
    await world.write()
    await world.settle()
    assert world.catalogue is not None
    before = await world.catalogue.page(RUNS, limit=10)
    await world.journal.close()
    assert await world.catalogue.page(RUNS, limit=10) == before
    with pytest.raises(JournalUnavailable):
        await world.catalogue.read_journal()
    await world.stop()
    await world.stop()
