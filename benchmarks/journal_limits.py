"""Bars of the journal that need no peer: the event loop beside a stuck disk, opening a large file."""

import asyncio
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from agentfield_journal import JournalUnavailable, Limits, StoreJournal, open_journal
from agentfield_journal.stores.port import Batch
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.writer import StoreRunWriter
from benchmarks.journal_load import Line, Result, Round, Timing, at_most, draft

STUCK_S = 2.0
BEAT_S = 0.005
SESSIONS = 50
LARGE_RUNS = 420  # of 5,000 records: 1 GB


class StuckStore(SqliteStore):
    """A journal file on a disk that does not answer the first commit for `STUCK_S`."""

    answers = False

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        if not self.answers:
            time.sleep(STUCK_S)
            self.answers = True
        return super().commit(batches)


async def stuck_disk(folder: Path) -> Timing:
    """How much later than every 5 ms the loop gets to a task, while sessions append to a stuck disk."""
    store = StuckStore(folder / "journal.db")
    journal = StoreJournal(store, Limits(deadline_s=0.5))
    runs = [await journal.open_run(f"run-{number}") for number in range(SESSIONS)]
    late: list[float] = []

    async def session(run: StoreRunWriter) -> None:
        record = 0
        while not store.answers:
            record += 1
            with suppress(JournalUnavailable):  # told in time that it is unknown whether this is stored
                await run.durable(run.append([draft(record)]))

    async def heartbeat() -> None:
        while True:
            due = time.perf_counter() + BEAT_S
            await asyncio.sleep(BEAT_S)
            late.append(time.perf_counter() - due)

    begin = time.perf_counter()
    beating = asyncio.create_task(heartbeat())
    await asyncio.gather(*map(session, runs))
    beating.cancel()
    total_s = time.perf_counter() - begin
    await journal.close()
    return Timing(late, total_s)


async def write_runs(folder: Path, runs: int) -> None:
    """Runs of 5,000 records each."""
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        for number in range(runs):
            run = await journal.open_run(f"run-{number}")
            for start in range(0, 5_000, 500):
                await run.durable(run.append([draft(start + offset) for offset in range(500)]))
            await run.release()


async def _opening_s(folder: Path) -> float:
    """Seconds from nothing to the list of runs."""
    start = time.perf_counter()
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        await journal.run_ids()
        return time.perf_counter() - start


def openings(rounds: int) -> Line:
    """Openings of a journal of 1 GB of which nothing is in the system's cache."""
    opened: list[float] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        asyncio.run(write_runs(Path(folder), LARGE_RUNS))
        path = Path(folder) / "journal.db"
        size_gb = path.stat().st_size / 1e9
        for _ in range(rounds):
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
            opened.append(asyncio.run(_opening_s(Path(folder))))
    result = Result(f"openings of a journal of {size_gb:.2f} GB", [Round(1 / seconds) for seconds in opened])
    return result, [at_most("longest opening in s", max(opened), 5)]
