"""What the journal benchmarks share: the load, bare writers of the same bytes, the table and the plot."""

import asyncio
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TypeAlias

import apsw
import msgspec

from agentfield_journal import Draft, StoreJournal, codec
from agentfield_journal.group import GroupCommit
from agentfield_journal.stores.sqlite_connection import connect

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PAYLOAD = msgspec.msgpack.encode({"frames": 50, "bytes": 48_000, "digest": "0" * 32})


class Round(msgspec.Struct, frozen=True):
    """One run of a load: rate per second, and latencies of one append in microseconds."""

    rate: float
    p50_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0


class Result(msgspec.Struct, frozen=True):
    """The rounds of one load; each figure is their median."""

    name: str
    rounds: list[Round]

    @property
    def rate(self) -> float:
        return statistics.median(one.rate for one in self.rounds)

    @property
    def p50_us(self) -> float:
        return statistics.median(one.p50_us for one in self.rounds)

    @property
    def p99_us(self) -> float:
        return statistics.median(one.p99_us for one in self.rounds)

    @property
    def max_us(self) -> float:
        return statistics.median(one.max_us for one in self.rounds)

    def ratio_to(self, other: "Result", figure: str = "rate") -> float:
        """The median ratio of rounds that ran one after the other."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return statistics.median(
            float(getattr(ours, figure) / getattr(theirs, figure)) for ours, theirs in pairs
        )


class Bar(msgspec.Struct, frozen=True):
    """What a figure must reach: its ratio to a peer or a limit, and the bar for that."""

    what: str
    ratio: float
    bar: str
    met: bool


Line: TypeAlias = tuple[Result, Sequence[Bar]]


class Timing(msgspec.Struct, frozen=True):
    """The latency of every append, and the time for all of them, in seconds."""

    latencies: list[float]
    total_s: float


def draft(number: int) -> Draft:
    """A record as a session writes it, about 350 bytes stored."""
    return Draft(
        record_id=f"record-{number}",
        kind="realtime_input_sent",
        at_ns=1_763_670_000_000_000_000 + number,
        payload=PAYLOAD,
        op_id=f"op-{number}",
        request_record_id=f"record-{number - 1}",
        session_id="session-1",
        turn_id="turn-1",
    )


async def closed_loop(append: Callable[[int, int], Awaitable[None]], writers: int, each: int) -> Timing:
    """Every writer appends again as soon as its last append is durable."""
    latencies: list[float] = []
    clock = time.perf_counter

    async def one(writer: int) -> None:
        for number in range(each):
            start = clock()
            await append(writer, number)
            latencies.append(clock() - start)

    begin = clock()
    await asyncio.gather(*map(one, range(writers)))
    return Timing(latencies, clock() - begin)


async def journal_load(journal: StoreJournal, writers: int, each: int, *, runs_named: str = "run") -> Timing:
    """The load on a journal: one run for each writer."""
    runs = [await journal.open_run(f"{runs_named}-{number}") for number in range(writers)]

    async def append(writer: int, number: int) -> None:
        run = runs[writer]
        await run.durable(run.append([draft(number)]))

    return await closed_loop(append, writers, each)


class BareSink:
    """Group commits of the same bytes by the quickest means, for the journal's own group commit."""

    blocking = True

    def __init__(self, commit: Callable[[list[bytes]], None]) -> None:
        self._commit = commit

    def commit(self, batches: list[bytes], /) -> list[bytes]:
        self._commit(batches)
        return []

    def tend(self) -> None:
        """Nothing to do."""


class BareLoad:
    """The load on a bare sink: encode, queue, wait; no sequence, no chain, no reader."""

    def __init__(self, commit: Callable[[list[bytes]], None]) -> None:
        self._sink = BareSink(commit)
        self._waiting: list[asyncio.Future[None]] = []
        self._head = codec.record_head("run-1", 1) + bytes(8)

    async def run(self, writers: int, each: int) -> Timing:
        self._group = GroupCommit[bytes](self._sink, self, deadline_s=30)
        try:
            return await closed_loop(self._append, writers, each)
        finally:
            await self._group.close()

    async def _append(self, writer: int, number: int) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._group.submit(self._head + codec.encode_draft(draft(number)))
        await done

    def committed(self, group: list[bytes], refused: list[bytes]) -> None:
        done, self._waiting = self._waiting[: len(group)], self._waiting[len(group) :]
        for waiter in done:
            waiter.set_result(None)

    def failed(self, failure: Exception) -> None:
        raise failure

    def late(self) -> None:
        raise TimeoutError


def bare_file(folder: Path) -> Callable[[list[bytes]], None]:
    """One gathered write and one sync of a growing file for each group."""
    fd = os.open(folder / "bare", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def commit(group: list[bytes]) -> None:
        os.write(fd, b"".join(group))
        os.fsync(fd)

    return commit


def bare_sqlite(folder: Path) -> Callable[[list[bytes]], None]:
    """One transaction for each group into a table with nothing but a rowid, a number and the bytes."""
    db = connect(folder / "bare.db", apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, None)
    for setting in ("journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {setting}").fetchall()
    db.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, seq INTEGER, body BLOB)")

    def commit(group: list[bytes]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO bare (seq, body) VALUES (?, ?)", enumerate(group))
        db.execute("COMMIT")

    return commit


Load: TypeAlias = Callable[[Path], Awaitable[Timing]]


def measure(name: str, load: Load) -> Result:
    """Run `load` in a fresh folder `ROUNDS` times."""
    return measure_in_turn({name: load})[0]


def measure_in_turn(loads: Mapping[str, Load]) -> list[Result]:
    """Run each load once, then each again, `ROUNDS` times: what disturbs one then disturbs its peers."""
    rounds: dict[str, list[Round]] = {name: [] for name in loads}
    for _ in range(ROUNDS):
        for name, load in loads.items():
            rounds[name].append(one_round(load))
    return [Result(name, found) for name, found in rounds.items()]


def one_round(load: Load) -> Round:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), prefix="journal-bench-") as folder:
        gc.collect()
        timing = asyncio.run(_awaited(load(Path(folder))))
    latencies = sorted(timing.latencies)
    return Round(
        rate=len(latencies) / timing.total_s,
        p50_us=latencies[len(latencies) // 2] * 1e6,
        p99_us=latencies[int(len(latencies) * 0.99)] * 1e6,
        max_us=latencies[-1] * 1e6,
    )


async def _awaited(load: Awaitable[Timing]) -> Timing:
    return await load


def at_least(what: str, ratio: float, bar: float) -> Bar:
    return Bar(what, ratio, f">= {bar:g}", ratio >= bar)


def at_most(what: str, ratio: float, bar: float) -> Bar:
    return Bar(what, ratio, f"<= {bar:g}", ratio <= bar)


def show(title: str, lines: Sequence[Line]) -> None:
    """One table: every figure, and under it how it stands to its bars."""
    print(f"\n{title:48}{'per s':>10}{'p50 us':>9}{'p99 us':>9}{'ratio':>9}  bar")
    for result, bars in lines:
        latencies = f"{result.p50_us:>9,.0f}{result.p99_us:>9,.0f}" if result.p50_us else ""
        print(f"{result.name:48}{result.rate:>10,.0f}{latencies}")
        for bar in bars:
            print(f"  {bar.what:74}{bar.ratio:>9.2f}  {bar.bar:8}{'met' if bar.met else 'NOT met'}")


def plot(path: Path, title: str, lines: Sequence[Line]) -> None:
    """The rates as an SVG of horizontal bars."""
    most = max(result.rate for result, _ in lines)
    drawn = [f'<text x="10" y="22" font-weight="bold">{escape(title)}, per second</text>']
    for number, (result, _) in enumerate(lines):
        y, width = 40 + 24 * number, max(1.0, 400 * result.rate / most)
        drawn += (
            f'<text x="10" y="{y + 13}">{escape(result.name)}</text>',
            f'<rect x="330" y="{y}" width="{width:.0f}" height="18" fill="#4878a8"/>',
            f'<text x="{335 + width:.0f}" y="{y + 13}">{result.rate:,.0f}</text>',
        )
    size = f'width="820" height="{50 + 24 * len(lines)}"'
    style = 'font-family="sans-serif" font-size="13"'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(drawn)}</svg>\n')
