"""Any flipped bit and any cut of a journal file is found, or has changed nothing that can be read."""

import asyncio
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from agentfield_journal import Envelope, JournalError, open_journal, verify
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.testing import make_draft

SIGNER = Signer("example.org/journal", bytes(32))
Content = list[Envelope]


@pytest.fixture(scope="module")
def journal_file() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    path = folder / "journal.db"
    asyncio.run(fill(path))
    for leftover in (".db-wal", ".db-shm", ".db.lock"):
        path.with_suffix(leftover).unlink()
    yield path
    shutil.rmtree(folder)


async def fill(path: Path) -> None:
    async with open_journal(f"sqlite:///{path}") as journal:
        for run_id in ("run-1", "run-2"):
            writer = await journal.open_run(run_id)
            writer.append([make_draft(number) for number in range(1, 26)])
            await writer.release()
        await (await Checkpointer.open(journal, SIGNER)).checkpoint()


async def look_async(path: Path) -> tuple[bool, Content]:
    async with open_journal(f"sqlite:///{path}", read_only=True) as journal:
        report = await verify(journal, trusted=[SIGNER.verifier])
        content: Content = []
        if report.sound:
            for run_id in await journal.all_run_ids():
                content += await journal.read(run_id)
        return report.sound, content


def look(path: Path) -> tuple[bool, Content]:
    """Whether the journal is found sound, and then everything that can be read of it."""
    try:
        return asyncio.run(look_async(path))
    except JournalError:
        return False, []


def test_every_flipped_bit_is_found_or_changes_nothing(journal_file: Path) -> None:
    whole = journal_file.read_bytes()
    sound, expected = look(journal_file)
    assert sound and len(expected) == 51
    damaged = journal_file.with_name("damaged.db")
    found = slack = 0
    data = bytearray(whole)
    for position in flips(whole):
        data[position] ^= 1 << position % 8
        damaged.write_bytes(data)
        sound, content = look(damaged)
        data[position] = whole[position]
        if sound:
            assert content == expected, f"a flip at byte {position} changes the journal unseen"
            slack += 1
        else:
            found += 1
    assert found > 1_000 and slack > 0


def flips(whole: bytes) -> Generator[int]:
    """Bytes to damage: all that are not zero, and some of the zeros. Every bit: see torture.py."""
    for position, byte in enumerate(whole):
        if (byte and position % 11 == 0) or position % 257 == 0:
            yield position


def test_a_cut_at_every_page_is_found(journal_file: Path) -> None:
    whole = journal_file.read_bytes()
    damaged = journal_file.with_name("damaged.db")
    for size in range(0, len(whole), 4096):
        damaged.write_bytes(whole[:size])
        sound, _ = look(damaged)
        assert not sound, f"a cut to {size} bytes was not found"
