"""A process killed at any moment loses nothing it acknowledged."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from agentfield_journal import open_journal, verify

WRITER = Path(__file__).with_name("killed_writer.py")
ROUNDS = 8


@pytest.mark.asyncio
async def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    chance = random.Random(1)
    acknowledged: dict[str, int] = {}
    for _ in range(ROUNDS):
        child = await asyncio.create_subprocess_exec(sys.executable, str(WRITER), url, stdout=PIPE)
        assert child.stdout is not None
        for _ in range(chance.randrange(1, 400)):
            _note(acknowledged, await child.stdout.readline())
        child.kill()
        for line in (await child.stdout.read()).splitlines(keepends=True):
            _note(acknowledged, line)
        await child.wait()
        async with open_journal(url) as journal:
            report = await verify(journal)
            assert report.sound
            for head in await journal.heads():
                assert head.seq >= acknowledged.get(head.run_id, 0)
                assert head.seq % 3 == 0, "a batch was cut"
                # What a reader has seen once must be there for ever.
                acknowledged[head.run_id] = head.seq


def _note(acknowledged: dict[str, int], line: bytes) -> None:
    if line.endswith(b"\n"):
        run_id, seq = line.decode().split()
        acknowledged[run_id] = max(acknowledged.get(run_id, 0), int(seq))
