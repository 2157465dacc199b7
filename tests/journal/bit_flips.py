"""One bit of a journal file flipped at a time, and whether that is found: for the tests and for torture.

A flip that is not found is slack: everything that can be read is the same. Provably so are the gaps that
each page of SQLite keeps between its cell pointers and its cells (nothing in them is ever read), and header
fields that advise only (change counter, SQLite's own version). Of what we store: the file's random name, its
generation and the epoch from which the next writer counts, which no record depends on. Nothing in a record's
payload or hash is slack; `check_flips` holds that.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec

from agentfield_journal import Envelope, JournalError, StoreJournal, open_journal, verify
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing import make_draft

SIGNER = Signer("example.org/journal", bytes(32))
_PAGE_BYTES = 4096
_INTERIOR = (2, 5)  # kinds of pages whose header has four bytes more


class InlineStore(SqliteStore):
    """A journal file used from the event loop itself: no threads to start and stop for each look."""

    blocking = False


class Tally(msgspec.Struct):
    """Flips that were found, and those that changed nothing."""

    found: int = 0
    slack: int = 0


async def fill(path: Path, *, records_per_run: int = 25) -> None:
    """A journal of two runs and a checkpoint; ten records of each need every kind of page there is."""
    async with open_journal(f"sqlite:///{path}") as journal:
        for run_id in ("run-1", "run-2"):
            writer = await journal.open_run(run_id)
            writer.append([make_draft(number) for number in range(1, records_per_run + 1)])
            await writer.release()
        await (await Checkpointer.open(journal, SIGNER)).checkpoint()
    for leftover in (".db-wal", ".db-shm", ".db.lock"):
        path.with_suffix(leftover).unlink()


async def look(path: Path) -> list[Envelope] | None:
    """Everything that can be read of a journal that is found sound; None for one that is not."""
    try:
        journal = StoreJournal(InlineStore(path, read_only=True))
        try:
            if not (await verify(journal, trusted=[SIGNER.verifier])).sound:
                return None
            return [record for run_id in await journal.all_run_ids() for record in await journal.read(run_id)]
        finally:
            await journal.close()
    except JournalError:
        return None


def gaps(whole: bytes) -> set[int]:
    """The bytes between the cell pointers and the cells of each page: SQLite's file format, 1.6."""
    found: set[int] = set()
    for start in range(0, len(whole), _PAGE_BYTES):
        header = start + (100 if start == 0 else 0)
        cells = int.from_bytes(whole[header + 3 : header + 5], "big")
        first_cell = int.from_bytes(whole[header + 5 : header + 7], "big")
        pointers = header + (12 if whole[header] in _INTERIOR else 8) + 2 * cells
        found.update(range(pointers, start + first_cell))
    return found


def check_flips(journal_file: Path, bits: Iterable[int], *, scratch: Path) -> Tally:
    """Flip each of `bits` (eight to a byte) in a copy of the file at `scratch`, one at a time.

    Raises:
        AssertionError: one changed what is read and was not found, or one in a record was not found.
    """
    whole = journal_file.read_bytes()
    with asyncio.Runner() as runner:
        expected = runner.run(look(journal_file))
        assert expected is not None and len(expected) > 20
        records = _record_bytes(whole, expected)
        tally = Tally()
        data = bytearray(whole)
        for bit in bits:
            position = bit // 8
            data[position] ^= 1 << bit % 8
            scratch.write_bytes(data)
            data[position] = whole[position]
            if (content := runner.run(look(scratch))) is None:
                tally.found += 1
                continue
            assert content == expected, f"a flip of bit {bit} changes the journal unseen"
            assert position not in records, f"a flip of bit {bit}, in a record, is not found"
            tally.slack += 1
    return tally


def _record_bytes(whole: bytes, records: list[Envelope]) -> set[int]:
    """Where the payloads and the hashes of the records are in the file."""
    found: set[int] = set()
    for record in records:
        for piece in (record.hash, record.payload):
            if len(piece) >= 16:
                start = whole.find(piece)
                assert start >= 0, "a record is not in one piece"
                found.update(range(start, start + len(piece)))
    return found
