"""The journal on SQLite beside a bare file loop, bare apsw, `eventsourcing` and DBOS, in one run.

    python benchmarks/journal_peers.py --plot journal.svg

Peers that are not installed are left out: `pip install eventsourcing dbos`. BENCH_DIR chooses the disk,
BENCH_ROUNDS how often everything runs, in turn: a ratio is the median over the rounds. `--large` also writes
and opens a journal of 1 GB.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agentfield_journal import StoreJournal, open_journal
from benchmarks.journal_limits import openings, stuck_disk, write_runs
from benchmarks.journal_load import (
    ROUNDS,
    Bar,
    BareLoad,
    Line,
    Load,
    Result,
    Round,
    Timing,
    at_least,
    at_most,
    bare_file,
    bare_sqlite,
    draft,
    journal_load,
    one_round,
    plot,
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


def peer(program: str) -> tuple[Round, Round] | None:
    """The two rates that the peer's program prints; None when it is not installed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True)
    if done.returncode:
        return None
    first, second = done.stdout.split()[-2:]
    return Round(float(first)), Round(float(second))


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


async def replay_all(folder: Path) -> float:
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        return await replay(journal, 20)


class Measured:
    """Every load and peer, in turn, `ROUNDS` times."""

    def __init__(self) -> None:
        loads = [Result(name, []) for name in LOADS]
        self.many, self.bare_db, self.bare, self.one, self.sync, *others = loads
        self.operation, self.busy, self.beats = others
        self.replayed = Result("journal, replay", [])
        self.saves = Result("eventsourcing on SQLite, one event a save", [])
        self.events = Result("eventsourcing on SQLite, replay", [])
        self.steps = Result("DBOS on SQLite, steps", [])
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            asyncio.run(write_runs(Path(folder), 20))
            for _ in range(ROUNDS):
                for result in loads:
                    result.rounds.append(one_round(LOADS[result.name]))
                    if result is self.many and (rates := peer(EVENTSOURCING)):
                        self.saves.rounds.append(rates[0])
                        self.events.rounds.append(rates[1])
                    if result is self.operation and (rates := peer(DBOS)):
                        self.steps.rounds.append(rates[0])
                self.replayed.rounds.append(Round(asyncio.run(replay_all(Path(folder)))))

    def lines(self) -> list[Line]:
        """The journal's figures with their bars, then the peers'."""
        many = [
            at_least("/ bare apsw", self.many.ratio_to(self.bare_db), 0.6),
            at_least("/ bare file loop", self.many.ratio_to(self.bare), 0.3),
        ]
        one = [
            at_most("p50 / write + fsync", self.one.ratio_to(self.sync, "p50_us"), 2),
            at_most("p99 / write + fsync", self.one.ratio_to(self.sync, "p99_us"), 3),
        ]
        operation: list[Bar] = []
        replayed = [at_least("/ 350,000 records/s", self.replayed.rate / 350_000, 1)]
        if self.saves.rounds:
            many.append(at_least("/ eventsourcing, one event a save", self.many.ratio_to(self.saves), 20))
            replayed.append(at_least("/ eventsourcing, replay", self.replayed.ratio_to(self.events), 5))
        if self.steps.rounds:
            operation.append(at_least("/ DBOS steps", self.operation.ratio_to(self.steps), 3))
        peers = (self.bare_db, self.bare, self.sync, self.saves, self.events, self.steps)
        return [
            (self.many, many),
            (self.one, one),
            (self.operation, operation),
            (self.busy, [at_most("p99 in ms", self.busy.p99_us / 1_000, 3)]),
            (self.beats, [at_most("longest delay in ms", self.beats.max_us / 1_000, 50)]),
            (self.replayed, replayed),
            *((result, ()) for result in peers if result.rounds),
        ]


LOADS: dict[str, Load] = {
    "journal, 64 writers": lambda folder: ours(folder, 64, 400),
    "bare apsw group commits, 64 writers": lambda folder: BareLoad(bare_sqlite(folder)).run(64, 400),
    "bare file loop, 64 writers": lambda folder: BareLoad(bare_file(folder)).run(64, 400),
    "journal, one writer": lambda folder: ours(folder, 1, 1_500),
    "bare write + fsync, one writer": write_and_sync,
    "journal, intent + outcome, one session": operations,
    "journal, 1,000/s on a half busy loop": busy_loop,
    "heartbeats of 5 ms beside a stuck disk, delay": stuck_disk,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="The journal beside its peers.")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the rates into this SVG file")
    parser.add_argument("--large", action="store_true", help="also open a journal of 1 GB")
    chosen = parser.parse_args()
    lines = Measured().lines()
    if chosen.large:
        lines.append(openings(ROUNDS))
    show("the journal beside its peers", lines)
    if chosen.plot is not None:
        plot(chosen.plot, "the journal beside its peers", lines)


if __name__ == "__main__":
    main()
