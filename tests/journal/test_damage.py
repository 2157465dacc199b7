"""Any flipped bit and any cut of a journal file is found, or has changed nothing that can be read."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.journal.bit_flips import check_flips, fill, gaps, look
from tests.journal.folders import memory_folder

GAP_STRIDE_BYTES = 128


@pytest.fixture(scope="module")
def journal_file() -> Generator[Path]:
    with memory_folder() as folder:
        path = folder / "journal.db"
        asyncio.run(fill(path, records_per_run=10))
        yield path


def test_a_flipped_bit_in_any_byte_is_found_or_changes_nothing(journal_file: Path) -> None:
    """One bit of each byte that SQLite reads, and of some others; `make torture` flips all."""
    whole = journal_file.read_bytes()
    unread = gaps(whole)
    bits = [
        8 * position + (position + position // 8) % 8
        for position in range(len(whole))
        if position not in unread or position % GAP_STRIDE_BYTES == 0
    ]
    tally = check_flips(journal_file, bits, scratch=journal_file.with_name("damaged.db"))
    assert tally.found > 7_500
    assert 0 < tally.slack < len(bits) / 5


def test_a_cut_at_every_page_is_found(journal_file: Path) -> None:
    whole = journal_file.read_bytes()
    damaged = journal_file.with_name("damaged.db")
    for size in range(0, len(whole), 4096):
        damaged.write_bytes(whole[:size])
        assert asyncio.run(look(damaged)) is None, f"a cut to {size} bytes was not found"
