"""The journal on SQLite beside a bare file loop, bare apsw, `eventsourcing` and DBOS, in one run.

    python benchmarks/journal_peers.py

Peers that are not installed are left out: `pip install eventsourcing dbos`. BENCH_DIR chooses the disk.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from agentfield_journal import StoreJournal, open_journal
from benchmarks.journal_load import (
    ROUNDS,
    BareLoad,
    Result,
    Timing,
    at_least,
    at_most,
    bare_file,
    bare_sqlite,
    draft,
    journal_load,
    measure,
    show,
)

EVENTSOURCING = """
import sys, time
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
class Session(Aggregate):
    @event("Opened")
    def __init__(self): self.count = 0
    @event("InputSent")
    def send(self, op_id, session_id, turn_id, digest): self.count += 1
app = Application(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite",
                       "SQLITE_DBNAME": sys.argv[1] + "/peer.db"})
session = Session(); app.save(session); start = time.perf_counter()
for number in range(1500):
    session.send(op_id=f"op-{number}", session_id="session-1", turn_id="turn-1", digest="0" * 32)
    app.save(session)
saved = 1500 / (time.perf_counter() - start); start = time.perf_counter()
for _ in range(3): app.repository.get(session.id)
print(saved, 4500 / (time.perf_counter() - start))
"""
DBOS = """
import asyncio, sys, time
from dbos import DBOS
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{sys.argv[1]}/dbos.db", "log_level": "ERROR",
             "run_admin_server": False})
@DBOS.step()
async def step(number): return {"status": "ok", "number": number}
@DBOS.workflow()
async def flow(count):
    for number in range(count): await step(number)
async def main():
    DBOS.launch(); await flow(20); start = time.perf_counter(); await flow(200)
    print(200 / (time.perf_counter() - start), 0)
asyncio.run(main()); DBOS.destroy()
"""


def peer(program: str) -> tuple[float, float] | None:
    """Medians of what the peer's program prints; None when it is not installed."""
    figures: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True)
        if done.returncode:
            return None
        first, second = done.stdout.split()[-2:]
        figures.append((float(first), float(second)))
    return median(first for first, _ in figures), median(second for _, second in figures)


async def ours(folder: Path, writers: int, each: int) -> Timing:
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        return await journal_load(journal, writers, each)


async def operations(folder: Path) -> Timing:
    """One session: the intent durable, then the outcome durable."""
    latencies: list[float] = []
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        run = await journal.open_run("run-1")
        for number in range(600):
            start = time.perf_counter()
            await run.durable(run.append([draft(2 * number)]))
            await run.durable(run.append([draft(2 * number + 1)]))
            latencies.append(time.perf_counter() - start)
    return Timing(latencies, sum(latencies))


async def write_and_sync(folder: Path) -> Timing:
    """A bare write and fsync of the same bytes, on the calling thread."""
    fd = os.open(folder / "bare", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    body = bytes(350)
    latencies: list[float] = []
    for _ in range(1_500):
        start = time.perf_counter()
        os.write(fd, body)
        os.fsync(fd)
        latencies.append(time.perf_counter() - start)
    return Timing(latencies, sum(latencies))


async def busy_loop(folder: Path) -> Timing:
    """1,000 appends a second while other work takes half of the event loop."""
    latencies: list[float] = []
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        run = await journal.open_run("run-1")

        async def append(number: int) -> None:
            start = time.perf_counter()
            await run.durable(run.append([draft(number)]))
            latencies.append(time.perf_counter() - start)

        tasks: list[asyncio.Task[None]] = []
        begin = time.perf_counter()
        for number in range(2_000):
            while time.perf_counter() < begin + number * 0.001:
                burn_until = time.perf_counter() + 50e-6
                while time.perf_counter() < burn_until:
                    pass
                await asyncio.sleep(50e-6)
            tasks.append(asyncio.create_task(append(number)))
        await asyncio.gather(*tasks)
        return Timing(latencies, time.perf_counter() - begin)


async def replay(journal: StoreJournal, runs: int) -> float:
    """Records a second: read, decode, check the chain, fold."""
    start = time.perf_counter()
    count = 0
    for number in range(runs):
        open_operations: dict[str | None, int] = {}
        for record in await journal.read(f"run-{number}"):
            open_operations[record.op_id] = record.seq
            count += 1
    return count / (time.perf_counter() - start)


async def replay_rate(folder: Path) -> float:
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        for number in range(20):
            run = await journal.open_run(f"run-{number}")
            for start in range(0, 5_000, 500):
                await run.durable(run.append([draft(start + offset) for offset in range(500)]))
            await run.release()
        return median([await replay(journal, 20) for _ in range(ROUNDS)])


def main() -> None:
    many = measure("journal, 64 writers", lambda folder: ours(folder, 64, 400))
    bare_db = measure("bare apsw group commits, 64 writers", lambda f: BareLoad(bare_sqlite(f)).run(64, 400))
    bare = measure("bare file loop, 64 writers", lambda folder: BareLoad(bare_file(folder)).run(64, 400))
    one = measure("journal, one writer", lambda folder: ours(folder, 1, 1_500))
    sync = measure("bare write + fsync, one writer", write_and_sync)
    operation = measure("journal, intent + outcome, one session", operations)
    busy = measure("journal, 1,000/s on a half busy loop", busy_loop)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        replayed = Result("journal, replay", asyncio.run(replay_rate(Path(folder))))
    bars = {
        many: [
            at_least("/ bare apsw", many.rate / bare_db.rate, 0.6),
            at_least("/ bare file loop", many.rate / bare.rate, 0.3),
        ],
        one: [
            at_most("p50 / write + fsync", one.p50_us / sync.p50_us, 2),
            at_most("p99 / write + fsync", one.p99_us / sync.p99_us, 3),
        ],
        operation: [],
        busy: [at_most("p99 in ms", busy.p99_us / 1_000, 3)],
        replayed: [at_least("/ 350,000 records/s", replayed.rate / 350_000, 1)],
    }
    peers = [bare_db, bare, sync]
    if saves := peer(EVENTSOURCING):
        bars[many].append(at_least("/ eventsourcing, one event a save", many.rate / saves[0], 20))
        bars[replayed].append(at_least("/ eventsourcing, replay", replayed.rate / saves[1], 5))
        peers.append(Result("eventsourcing on SQLite, one event a save", saves[0]))
        peers.append(Result("eventsourcing on SQLite, replay", saves[1]))
    if steps := peer(DBOS):
        bars[operation].append(at_least("/ DBOS steps", operation.rate / steps[0], 3))
        peers.append(Result("DBOS on SQLite, steps", steps[0]))
    show("the journal beside its peers", [*bars.items(), *((result, ()) for result in peers)])


if __name__ == "__main__":
    main()
