"""Keeping a journal's size in check: finished runs move to archives, expired ones leave a tombstone.

Which runs are finished or expired is for the caller to say; the journal knows nothing of sessions.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from agentfield_journal.engine import StoreJournal
from agentfield_journal.envelope import Draft, Envelope
from agentfield_journal.errors import JournalConflict
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.ports import RunHead
from agentfield_journal.stores.port import Store
from agentfield_journal.stores.sqlite import SqliteStore

TOMBSTONE_RUN = "journal/tombstones"
TOMBSTONE_KIND = "run_expired"

_TOMBSTONE_TITLE = "agentfield-journal tombstone"


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of an expired run's record: where it ended, and the same in a note signed by the journal."""

    run_id: str
    seq: int
    hash: bytes
    note: str

    def text(self) -> str:
        return f"{_TOMBSTONE_TITLE}\n{self.run_id.encode().hex()}\n{self.seq}\n{self.hash.hex()}\n"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tombstone).decode


async def archive_runs(journal: StoreJournal, run_ids: Sequence[str]) -> Path | None:
    """Move finished runs of a journal file to a new sealed file beside it; they stay part of the journal.

    Returns:
        The archive file, or None when nothing had to be moved.

    Raises:
        JournalConflict: one of the runs is open for writing, or was continued meanwhile; it stays.
        ValueError: the journal is not a file.
    """
    _require_idle(journal, run_ids)
    store = _file_store(journal.store)
    heads = {head.run_id: head for head in await journal.heads_of(run_ids)}
    copied = await journal.on_reader(lambda: store.copy_to_archive(list(heads)))
    if copied is None:
        return None
    path, moving = copied
    for run_id in moving:
        head = heads[run_id]
        await _leave(journal, run_id, end=(head.seq, head.hash), file=path.name)
    return path


async def _leave(journal: StoreJournal, run_id: str, *, end: tuple[int, bytes], file: str | None) -> None:
    """Delete a run from the file, if it still ends where it ended when it was copied or buried."""

    def leave() -> None:
        # Nothing is committed while this runs, and no writer can follow: its claim would be refused.
        rows = store.ends(run_id).rows
        if rows and (rows[-1][0], rows[-1][2]) != end:
            raise JournalConflict(f"run {run_id} was continued meanwhile; it stays")
        store.leave(run_id, file)

    store = _file_store(journal.store)
    _require_idle(journal, [run_id])
    await journal.on_writer(leave)


async def expire_runs(journal: StoreJournal, run_ids: Sequence[str], signer: Signer) -> list[Tombstone]:
    """Delete runs for good; a signed tombstone with the last hash of each is durable before that.

    Repeat it after a crash: runs that already have a tombstone get no second one.

    Raises:
        JournalConflict: one of the runs is open for writing, or was continued meanwhile; it stays.
        ValueError: the journal is not a file.
    """
    _require_idle(journal, run_ids)
    store = _file_store(journal.store)
    known = {stone.run_id: stone for stone in await tombstones(journal)}
    heads = {head.run_id: head for head in await journal.heads_of(run_ids)}
    writer = await journal.open_run(TOMBSTONE_RUN)
    stones: list[Tombstone] = []
    try:
        for run_id in run_ids:
            if run_id in heads and run_id not in known:
                stone = _sign(heads[run_id], signer)
                writer.append([_draft(stone, writer.head.seq + 1)])
                stones.append(stone)
                known[run_id] = stone
    finally:
        await writer.release()
    for run_id in run_ids:
        if (buried := known.get(run_id)) is not None:
            await journal.on_reader(partial(store.clear_archived, run_id))
            await _leave(journal, run_id, end=(buried.seq, buried.hash), file=None)
    return stones


def _sign(head: RunHead, signer: Signer) -> Tombstone:
    bare = Tombstone(run_id=head.run_id, seq=head.seq, hash=head.hash, note="")
    return msgspec.structs.replace(bare, note=signer.sign(bare.text()))


def _draft(stone: Tombstone, seq: int) -> Draft:
    return Draft(
        record_id=f"{TOMBSTONE_KIND}.{seq}",
        kind=TOMBSTONE_KIND,
        at_ns=time.time_ns(),
        payload=_encode(stone),
    )


async def tombstones(journal: StoreJournal) -> list[Tombstone]:
    """All tombstones of a journal, oldest first."""
    return read_tombstones(await journal.read(TOMBSTONE_RUN))


def read_tombstones(records: Sequence[Envelope]) -> list[Tombstone]:
    """Raises `msgspec.MsgspecError` when a payload is none."""
    return [_decode(record.payload) for record in records if record.kind == TOMBSTONE_KIND]


def _require_idle(journal: StoreJournal, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        if journal.has_writer(run_id):
            raise JournalConflict(f"run {run_id} is open for writing; release it first")


def _file_store(store: Store) -> SqliteStore:
    if not isinstance(store, SqliteStore):
        raise ValueError("only a journal file has archives; expire runs of a server with its own means")
    return store
