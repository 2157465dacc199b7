"""A start reads what the journal has since the catalogue was left, wherever that was."""

import asyncio
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentfield_journal import Draft, StoreJournal, open_journal
from agentfield_journal.ports import RunHead
from agentfield_journal.positions import position_of
from agentfield_journal.retirement import archive_runs
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_rt.plane.catalogue import catalogue as module
from agentfield_rt.plane.catalogue.catalogue import Catalogue, open_catalogue
from agentfield_rt.plane.catalogue.rows import RunRow
from tests.catalogue.worlds import Differs, run_world

SEEDS_TO_A_BUG = range(40)


def _world(seed: int, path: Path) -> None:
    store = SqliteStore(path / f"journal-{seed}.db", reserve_bytes=0)
    asyncio.run(run_world(seed, path / f"{seed}.db", store))


@pytest.mark.parametrize("hurry", [20_000, 3])
def test_a_catalogue_that_was_left_anywhere_catches_up_to_the_same_rows(
    hurry: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_RECORDS_MAX", hurry)
    for seed in range(6):
        _world(seed, tmp_path)


def test_a_mark_beyond_what_is_folded_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def set_mark(self: Any) -> None:
        position = await position_of(self._journal)
        assert position is not None
        await self._in_thread(lambda: self._projection.set_mark(position))

    monkeypatch.setattr(Catalogue, "_set_mark", set_mark)
    with pytest.raises(Differs):
        for seed in SEEDS_TO_A_BUG:
            _world(seed, tmp_path)


async def _write(journal: StoreJournal, run_id: str, record_id: str) -> None:
    writer = await journal.open_run(run_id)
    writer.append([Draft(record_id=record_id, kind="run_completed", at_ns=1)])
    await writer.release()


async def _known(path: Path, journal: StoreJournal) -> list[str]:
    async with open_catalogue(path, journal) as catalogue:
        found = await catalogue.read(lambda db: db.select(RunRow, "runs ORDER BY run_id"))
        return [run.run_id for run in found]


@pytest.mark.asyncio
async def test_a_start_looks_at_the_runs_that_grew_and_at_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    heads_of = StoreJournal.heads_of

    async def heads_of_seen(self: StoreJournal, run_ids: Collection[str]) -> list[RunHead]:
        looked_at.extend(run_ids)
        return await heads_of(self, run_ids)

    monkeypatch.setattr(StoreJournal, "heads_of", heads_of_seen)
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        for number in range(20):
            await _write(journal, f"run_{number:02}", "1")
        assert len(await _known(tmp_path / "catalogue.db", journal)) == len(looked_at) == 20
        looked_at.clear()
        await _write(journal, "run_03", "2")
        await _write(journal, "run_20", "1")
        assert len(await _known(tmp_path / "catalogue.db", journal)) == 21
        assert sorted(looked_at) == ["run_03", "run_20"]


@pytest.mark.asyncio
async def test_another_journal_is_compared_as_a_whole(tmp_path: Path) -> None:
    for name, run_ids in (("first", ["a", "b"]), ("second", ["a", "c", "d"])):
        async with open_journal(f"sqlite:///{tmp_path}/{name}.db") as journal:
            for run_id in run_ids:
                await _write(journal, run_id, name)
            assert await _known(tmp_path / "catalogue.db", journal) == run_ids


@pytest.mark.asyncio
async def test_a_run_that_left_for_good_while_nobody_followed_leaves_the_catalogue(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.db", reserve_bytes=0)
    journal = StoreJournal(store)
    for run_id in ("a", "b", "c"):
        await _write(journal, run_id, "1")
    assert await _known(tmp_path / "catalogue.db", journal) == ["a", "b", "c"]
    await journal.on_writer(lambda: store.leave("b", None))
    assert await _known(tmp_path / "catalogue.db", journal) == ["a", "c"]
    await journal.close()


@pytest.mark.asyncio
async def test_a_run_that_was_archived_while_nobody_followed_is_known_to_its_end(tmp_path: Path) -> None:
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        await _write(journal, "a", "1")
        assert await _known(tmp_path / "catalogue.db", journal) == ["a"]
        await _write(journal, "b", "1")
        assert await archive_runs(journal, ["b"]) is not None
        assert await _known(tmp_path / "catalogue.db", journal) == ["a", "b"]


def _rewrite(path: Path, body: bytes, *, seq: int) -> bytes:
    """Put `body` in the place of a record's bytes, which are returned."""
    with closing(sqlite3.connect(path)) as db, db:
        (before,) = db.execute("SELECT body FROM records WHERE seq = ?", (seq,)).fetchone()
        db.execute("UPDATE records SET body = ? WHERE seq = ?", (body, seq))
    return bytes(before)


@pytest.mark.asyncio
async def test_a_run_that_was_damaged_is_known_once_it_is_repaired(tmp_path: Path) -> None:
    file, catalogue = tmp_path / "journal.db", tmp_path / "catalogue.db"
    async with open_journal(f"sqlite:///{file}") as journal:
        for record_id in ("1", "2", "3"):
            await _write(journal, "a", record_id)
    sound = _rewrite(file, b"?", seq=2)
    async with open_journal(f"sqlite:///{file}") as journal:
        assert await _known(catalogue, journal) == []
    _rewrite(file, sound, seq=2)
    async with open_journal(f"sqlite:///{file}") as journal:
        assert await _known(catalogue, journal) == ["a"]
