"""Every call to the disk fails once: nothing acknowledged is lost and a reopened journal goes on."""

import tempfile
from pathlib import Path

import pytest

from agentfield_journal.errors import JournalError
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing.crash import synced_image
from agentfield_journal.testing.disk import Disk
from tests.journal.workload import Ledger

# SQLite goes on after some faults; apsw reports each of them all the same.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def small_workload(path: Path, vfs: str, ledger: Ledger) -> None:
    for life in range(2):
        store = SqliteStore(path, vfs=vfs)
        try:
            for turn in range(3):
                ledger.group(store, [("run-1", 1 + turn), (f"run-{life + 2}", 1)], payload_bytes=400)
                if turn == 1:
                    store.file.move_log()
        finally:
            store.close()


def run_with_fault(number: int, kind: str, path: Path) -> tuple[Disk, Ledger, bool]:
    """The workload with call `number` failing as `kind`; whether that call was reached."""
    disk = Disk()
    ledger = Ledger(disk)
    disk.fault = lambda _call, count: kind if count == number else None
    with disk.mounted() as vfs:
        try:
            small_workload(path, vfs, ledger)
        except JournalError:
            pass
        reached = disk.faults > 0
        disk.fault = None
        store = SqliteStore(path, vfs=vfs)
        ledger.resume(store)
        ledger.check(store, ledger.acknowledged)
        ledger.group(store, [("run-1", 2), ("run-after", 1)])
        ledger.group(store, [("run-1", 1)])
        ledger.check(store, ledger.acknowledged)
        store.close()
    return disk, ledger, reached


@pytest.fixture
def path() -> Path:
    return Path(tempfile.mkdtemp(prefix="journal-faults-")) / "journal.db"


@pytest.mark.parametrize("kind", ["io", "full", "short", "sync"])
def test_no_failing_call_loses_an_acknowledged_record(kind: str, path: Path) -> None:
    number = 0
    reached = True
    while reached:
        number += 1
        disk, ledger, reached = run_with_fault(number, kind, path)
        after = Disk(synced_image(disk.log))
        with after.mounted() as vfs:
            store = SqliteStore(path, vfs=vfs)
            ledger.check(store, ledger.acknowledged)
            store.close()
    assert number > 200, "the workload calls the disk too seldom to prove anything"
