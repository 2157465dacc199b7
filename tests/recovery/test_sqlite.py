"""The same on a journal file: the next process opens a copy of what the dead one left on the disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_rt.testing import FaultJournal, run
from tests.recovery.checks import check, require
from tests.recovery.enumeration import RECOVERERS, Lengths, Recoverer, live
from tests.recovery.golden import GOLDEN
from tests.recovery.process import RUN, Death, Process, World
from tests.recovery.stage import Golden

STORIES = [g for g in GOLDEN if g.name in ("all_goes_well", "audio_in_windows", "output_is_delivered")]
NEARBY = ("append", "durable", "durable stored", "call after")


def _deaths(golden: Golden) -> Iterator[Death]:
    """Every append, every wait for the disk, before and after, and every call that has acted."""
    _, told = run(live(golden, Death("end"), told=True))
    return (death for death in Lengths.of(told).deaths() if death.where in NEARBY)


def _file(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place / "journal.db"


async def _die_on_disk(golden: Golden, death: Death, folder: Path) -> tuple[World, list[Path]]:
    """Let a process die; its file is copied while it is still open, once for each who will recover."""
    world = World()
    path = _file(folder, "first")
    store = SqliteStore(path, reserve_bytes=0)
    process = Process(world, store, death, answer=golden.answer)

    async def told() -> None:
        await golden.tell(process)

    await process.live(told())
    copies = [_copy(path, folder / recoverer.__name__) for recoverer in RECOVERERS]
    store.close()
    return world, copies


def _copy(path: Path, folder: Path) -> Path:
    """As after a power cut: the file and its log, but nobody's lock."""
    folder.mkdir()
    for each in path.parent.iterdir():
        if not each.name.endswith((".lock", "-shm")):
            shutil.copy(each, folder / each.name)
    return folder / path.name


async def _recover(golden: Golden, world: World, path: Path, recoverer: Recoverer) -> None:
    store = SqliteStore(path, reserve_bytes=0)
    try:
        process = Process(world, store)
        await recoverer(process)
        envelopes = await FaultJournal(store).read(RUN)
        if envelopes:
            check(world, envelopes, emergencies=golden.emergencies)
        require(envelopes or not world.told_seq, "everything is gone")
    finally:
        store.close()


@pytest.mark.parametrize("golden", STORIES, ids=lambda golden: golden.name)
def test_a_journal_file_is_recovered_like_one_in_memory(golden: Golden, tmp_path: Path) -> None:
    async def once(death: Death, folder: Path) -> None:
        world, copies = await _die_on_disk(golden, death, folder)
        for recoverer, path in zip(RECOVERERS, copies, strict=True):
            await _recover(golden, world.copy(), path, recoverer)

    deaths = list(_deaths(golden))
    assert len(deaths) > 30
    for number, death in enumerate(deaths):
        folder = tmp_path / str(number)
        folder.mkdir()
        run(once(death, folder))
        shutil.rmtree(folder)
