"""When the disk fills up, what is open can be closed; with room again, appending goes on."""

import asyncio
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from agentfield_journal import JournalFull, open_journal, verify
from agentfield_journal.testing import make_draft

DISK_BYTES = 16 << 20


@pytest.fixture
def small_disk() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="journal-full-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs privileges")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.asyncio
async def test_closers_are_taken_on_a_full_disk(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/journal.db"
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        number = 0
        with pytest.raises(JournalFull, match="close something"):
            while True:
                number += 2
                await writer.durable(writer.append([make_draft(number, payload=bytes(50_000))]))
        stored = writer.head.seq
        for closer in range(1, 401, 2):
            await writer.durable(writer.append([make_draft(closer)]))
        with pytest.raises(JournalFull):
            writer.append([make_draft(number + 2)])
        assert writer.head.seq == stored + 200
    async with open_journal(url, read_only=True) as journal:
        report = await verify(journal)
        assert report.sound and report.records == stored + 200


@pytest.mark.asyncio
async def test_appending_goes_on_when_there_is_room_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    async with open_journal(f"sqlite:///{small_disk}/journal.db") as journal:
        writer = await journal.open_run("run-1")
        await asyncio.to_thread(ballast.write_bytes, bytes(7 << 20))
        number = 0
        with pytest.raises(JournalFull):
            while True:
                number += 2
                await writer.durable(writer.append([make_draft(number, payload=bytes(20_000))]))
        await asyncio.to_thread(ballast.unlink)
        await writer.durable(writer.append([make_draft(1)]))
        await journal.on_writer(journal.store.tend)
        assert not journal.store.full
        await writer.durable(writer.append([make_draft(number + 2)]))
        assert (await verify(journal)).sound
