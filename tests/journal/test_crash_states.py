"""Whatever a power cut may leave: nothing acknowledged is missing, nothing half-written is shown."""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing.crash import CrashState, crash_states
from agentfield_journal.testing.disk import Disk, Image
from tests.journal.folders import memory_folder
from tests.journal.workload import Ledger, Promise, appends, archivings, reopenings

STATES_PER_WORKLOAD = 6_700
GOES_ON_EVERY = 20

Workload = Callable[[Disk, str, Ledger], None]


def run_appends(disk: Disk, vfs: str, ledger: Ledger) -> None:
    store = SqliteStore(disk_path(disk), vfs=vfs)
    appends(store, ledger)
    store.close()


def run_reopenings(disk: Disk, vfs: str, ledger: Ledger) -> None:
    reopenings(disk_path(disk), vfs, ledger)


def run_archiving(disk: Disk, vfs: str, ledger: Ledger) -> None:
    store = SqliteStore(disk_path(disk), vfs=vfs)
    archivings(store, ledger)
    store.close()


def disk_path(disk: Disk) -> Path:
    """A path whose folder and lock are real, while SQLite's files are on `disk`."""
    return Path(tempfile.gettempdir()) / f"{disk.vfs_name}.db"


WORKLOADS: tuple[Workload, ...] = (run_appends, run_reopenings, run_archiving)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_crash_state_loses_or_invents_a_record(workload: Workload) -> None:
    with memory_folder() as folder:
        checked = check_workload(workload, folder, states_max=STATES_PER_WORKLOAD)
    assert checked == STATES_PER_WORKLOAD, f"the workload has only {checked} crash states"


def check_workload(workload: Workload, folder: Path, *, states_max: int, subsets: int = 60) -> int:
    """Run `workload` and look at what power cuts may leave of it; the number of states looked at.

    `subsets` is how many random choices of what was not synced are tried at each point.
    """
    disk = Disk()
    ledger = Ledger(disk)
    with disk.mounted() as vfs:
        workload(disk, vfs, ledger)
    for lock in disk_path(disk).parent.glob(f"{disk.vfs_name}*.lock"):
        lock.unlink()
    checked = 0
    for state in itertools.islice(crash_states(disk.log, subsets=subsets), states_max):
        check_state(state, folder / "found.db", ledger, goes_on=checked % GOES_ON_EVERY == 0)
        checked += 1
    return checked


def check_state(state: CrashState, path: Path, ledger: Ledger, *, goes_on: bool) -> None:
    lay_out(state.image, path)
    try:
        store = SqliteStore(path, reserve_bytes=0)
        ledger.check(store, cast(Promise, state.promise or {}))
        if goes_on:
            after = Ledger()
            after.history = {run_id: list(rows) for run_id, rows in ledger.history.items()}
            after.ends = {run_id: list(ends) for run_id, ends in ledger.ends.items()}
            after.resume(store)
            after.group(store, [("run-9", 2), ("run-new", 1)])
            after.check(store, after.acknowledged)
        store.close()
    except Exception as error:
        error.add_note(state.story)
        raise


def lay_out(image: Image, path: Path) -> None:
    """Write the files: the journal and its log under the name of `path`, archives under their own."""
    for leftover in path.parent.iterdir():
        leftover.unlink()
    for name, data in image.items():
        own_name = Path(name).name
        if ".archive.db" not in own_name:
            own_name = path.name + own_name.rpartition(".db")[2]
        path.with_name(own_name).write_bytes(data)
