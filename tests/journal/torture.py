"""The kill -9 campaign as a command: `python tests/journal/torture.py --rounds 10000`."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from pathlib import Path

from agentfield_journal import open_journal, verify

WRITER = Path(__file__).with_name("killed_writer.py")


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
        child = await asyncio.create_subprocess_exec(sys.executable, str(WRITER), url, stdout=PIPE)
        assert child.stdout is not None
        if chance.random() < 0.2:
            await asyncio.sleep(chance.random() * 0.4)  # during start-up, opening or recovery
        else:
            for _ in range(chance.randrange(1, 200)):
                count += note(acknowledged, await child.stdout.readline())
        child.kill()
        for line in (await child.stdout.read()).splitlines(keepends=True):
            count += note(acknowledged, line)
        await child.wait()
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000, help="kill -9 rounds")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="journal-torture-") as folder:
        start = time.monotonic()
        count = asyncio.run(kill_rounds(Path(folder), options.rounds, options.seed))
    sys.stdout.write(
        f"{options.rounds} kill -9 rounds (seed {options.seed}) in {time.monotonic() - start:.0f} s:"
        f" {count} batches acknowledged, none lost\n"
    )


if __name__ == "__main__":
    main()
