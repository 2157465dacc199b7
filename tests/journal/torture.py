"""What takes too long for every test run: `make torture`, `python -m tests.journal.torture`.

The kill -9 campaign, many more crash states, and every bit of a small journal flipped.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from agentfield_journal import open_journal, verify
from tests.journal.bit_flips import Tally, check_flips, fill
from tests.journal.folders import memory_folder
from tests.journal.killed_writer import writing_process
from tests.journal.test_crash_states import WORKLOADS, check_workload

LINES_MAX = 200
"""What a writer tells before it is killed, at most: as often up to 14 lines as from there to 200."""


async def kill_rounds(folder: Path, rounds: int, seed: int) -> int:
    """Kill -9 a writer `rounds` times, also while it opens and recovers; returns records acknowledged.

    Raises:
        AssertionError: a record was lost, a batch cut, or the chain broken.
    """
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    count = 0
    url = f"sqlite:///{folder}/journal.db"
    for number in range(rounds):
        if number % 50 == 49:
            # Keeps one file from growing for hours.
            url = f"sqlite:///{folder}/journal-{number}.db"
            acknowledged.clear()
        with writing_process(url) as (process, lines):
            if chance.random() < 0.2:
                await asyncio.sleep(chance.random() * 0.05)  # while it opens or recovers
            else:
                for _ in range(int(LINES_MAX ** chance.random())):
                    count += note(acknowledged, lines.readline())
            process.kill()
            for line in lines:
                count += note(acknowledged, line)
        await check(url, acknowledged)
    return count


async def check(url: str, acknowledged: dict[str, int]) -> None:
    """Reopen as recovery does, and remember what is seen: it must be there for ever."""
    async with open_journal(url) as journal:
        report = await verify(journal)
        assert report.sound, report.findings
        heads = {head.run_id: head.seq for head in await journal.heads()}
    for run_id, seq in acknowledged.items():
        assert heads.get(run_id, 0) >= seq, f"{run_id} lost acknowledged records"
    for run_id, seq in heads.items():
        assert seq % 3 == 0, "a batch was cut"
        acknowledged[run_id] = seq


def note(acknowledged: dict[str, int], line: bytes) -> int:
    if not line.endswith(b"\n"):
        return 0
    run_id, seq = line.decode().split()
    acknowledged[run_id] = max(acknowledged.get(run_id, 0), int(seq))
    return 1


def crash_campaign(folder: Path, states_max: int) -> int:
    """Look at up to `states_max` crash states of each workload; returns how many there were.

    Raises:
        Exception: what a state showed, with a note of which state it was.
    """
    return sum(
        check_workload(workload, folder, states_max=states_max, subsets=1_000) for workload in WORKLOADS
    )


def flip_campaign(folder: Path) -> Tally:
    """Flip every bit of a journal of 50 records, on all processors."""
    journal = folder / "journal.db"
    asyncio.run(fill(journal))
    bits = range(8 * journal.stat().st_size)
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        parts = [
            pool.submit(check_flips, journal, bits[part::workers], scratch=folder / f"damaged-{part}.db")
            for part in range(workers)
        ]
        tallies = [part.result() for part in parts]
    return Tally(sum(tally.found for tally in tallies), sum(tally.slack for tally in tallies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000, help="kill -9 rounds")
    parser.add_argument("--states", type=int, default=100_000, help="crash states of each workload, at most")
    parser.add_argument("--no-flips", action="store_true", help="leave the bit flips out")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    if not options.no_flips:
        with measured() as folder:
            tally = flip_campaign(folder)
            say(f"{tally.found + tally.slack} bits flipped: {tally.found} found, {tally.slack} slack")
    with measured() as folder:
        say(f"{crash_campaign(folder, options.states)} crash states, none of them loses or invents a record")
    with measured(in_memory=False) as folder:
        count = asyncio.run(kill_rounds(folder, options.rounds, options.seed))
        say(f"{options.rounds} kill -9 rounds (seed {options.seed}): {count} batches acknowledged, none lost")


@contextmanager
def measured(*, in_memory: bool = True) -> Generator[Path]:
    """A folder, in memory where there is such a file system; at the end it says how long it took."""
    start = time.monotonic()
    with memory_folder() if in_memory else tempfile.TemporaryDirectory(prefix="journal-") as folder:
        yield Path(folder)
    say(f"  in {time.monotonic() - start:.0f} s")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
