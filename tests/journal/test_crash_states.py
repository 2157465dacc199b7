"""Whatever a power cut may leave: nothing acknowledged is missing, nothing half-written is shown."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import cast

import pytest

from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing.crash import CrashState, crash_states
from agentfield_journal.testing.disk import Disk, Image
from tests.journal.workload import Ledger, Promise, appends, reopenings

STATES_PER_WORKLOAD = 7_000
GOES_ON_EVERY = 20


@pytest.fixture
def fast_folder() -> Generator[Path]:
    """In memory where there is such a file system: thousands of files are written here."""
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="journal-crash-", dir=parent))
    yield folder
    shutil.rmtree(folder)


def run_appends(disk: Disk, vfs: str, ledger: Ledger) -> None:
    store = SqliteStore(disk_path(disk), vfs=vfs)
    appends(store, ledger)
    store.close()


def run_reopenings(disk: Disk, vfs: str, ledger: Ledger) -> None:
    reopenings(disk_path(disk), vfs, ledger)


def disk_path(disk: Disk) -> Path:
    """A path whose folder and lock are real, while SQLite's files are on `disk`."""
    return Path(tempfile.gettempdir()) / f"{disk.vfs_name}.db"


@pytest.mark.parametrize("workload", [run_appends, run_reopenings])
def test_no_crash_state_loses_or_invents_a_record(
    workload: Callable[[Disk, str, Ledger], None], fast_folder: Path
) -> None:
    disk = Disk()
    ledger = Ledger(disk)
    with disk.mounted() as vfs:
        workload(disk, vfs, ledger)
    disk_path(disk).with_suffix(".db.lock").unlink()
    states = crash_states(disk.log, subsets=60)
    checked = 0
    for number, state in enumerate(itertools.islice(states, STATES_PER_WORKLOAD)):
        check_state(state, fast_folder / "found.db", ledger, goes_on=number % GOES_ON_EVERY == 0)
        checked += 1
    assert checked == STATES_PER_WORKLOAD, f"the workload has only {checked} crash states"


def check_state(state: CrashState, path: Path, ledger: Ledger, *, goes_on: bool) -> None:
    lay_out(state.image, path)
    try:
        store = SqliteStore(path)
        ledger.check(store, cast(Promise, state.promise or {}))
        if goes_on:
            after = Ledger()
            after.history = {run_id: list(rows) for run_id, rows in ledger.history.items()}
            after.ends = {run_id: list(ends) for run_id, ends in ledger.ends.items()}
            after.resume(store)
            after.group(store, [("run-1", 2), ("run-new", 1)])
            after.check(store, after.acknowledged)
        store.close()
    except Exception as error:
        error.add_note(state.story)
        raise


def lay_out(image: Image, path: Path) -> None:
    for leftover in path.parent.iterdir():
        leftover.unlink()
    for name, data in image.items():
        suffix = name.rpartition(".db")[2]
        path.with_name(path.name + suffix).write_bytes(data)
