"""One run as one file: exported with the checkpoint that proves it, verified alone, imported elsewhere."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from agentfield_journal import codec
from agentfield_journal.durable_files import create_private
from agentfield_journal.engine import StoreJournal, is_own_run
from agentfield_journal.errors import JournalConflict, JournalCorrupt, UnknownVersion
from agentfield_journal.evidence import merkle
from agentfield_journal.evidence.checkpoints import (
    CHECKPOINT_RUN,
    Checkpoint,
    History,
    Leaf,
    read_history,
    trusted_after,
)
from agentfield_journal.evidence.notes import VerifierKey, open_note
from agentfield_journal.stores.port import Batch, StoredRow
from agentfield_journal.verification import Finding, Report

EXPORT_FORMAT = "agentfield-run/1"

_PAGE_RECORDS = 1_000

Progress = Callable[[int], None]


class ExportedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed checkpoint, and that it saw the run at `leaf`. Hashes are hex."""

    note: str
    rotations: list[str]
    leaf: tuple[str, int, str]
    index: int
    proof: list[str]


class ExportHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an exported run."""

    format: str
    run_id: str
    records: int
    hash: str
    checkpoint: ExportedCheckpoint | None = None


class ExportLine(msgspec.Struct, frozen=True, kw_only=True):
    """Each further line: a record's bytes in base64, its hash in hex."""

    seq: int
    body: str
    hash: str


_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(ExportHeader).decode
_decode_line = msgspec.json.Decoder(ExportLine).decode


async def export_run(
    journal: StoreJournal, run_id: str, path: Path, *, progress: Progress | None = None
) -> ExportHeader:
    """Write a run to `path`, checked on the way, with the newest checkpoint that saw it.

    Raises:
        FileExistsError: there is something at `path`.
        JournalConflict: the journal has no such run.
        JournalCorrupt: the run is damaged; nothing is written.
    """
    rows = await _read_rows(journal, run_id, progress)
    if not rows:
        raise JournalConflict(f"the journal has no run {run_id}")
    history = read_history(await journal.read(CHECKPOINT_RUN))
    header = ExportHeader(
        format=EXPORT_FORMAT,
        run_id=run_id,
        records=len(rows),
        hash=rows[-1][2].hex(),
        checkpoint=_proof(history, run_id),
    )
    lines = [_encode(header)]
    for seq, body, digest in rows:
        lines.append(_encode(ExportLine(seq=seq, body=base64.b64encode(body).decode(), hash=digest.hex())))
    await asyncio.to_thread(create_private, path, b"\n".join(lines) + b"\n")
    return header


async def _read_rows(journal: StoreJournal, run_id: str, progress: Progress | None) -> list[StoredRow]:
    rows: list[StoredRow] = []
    while True:
        page = await journal.read_rows(run_id, after=len(rows), limit=_PAGE_RECORDS)
        rows += page
        if progress is not None:
            progress(len(rows))
        if len(page) < _PAGE_RECORDS:
            return rows


def _proof(history: History, run_id: str) -> ExportedCheckpoint | None:
    index = history.newest_leaf(run_id)
    if index is None or not history.notes:
        return None
    leaves = [leaf.digest() for leaf in history.leaves]
    leaf = history.leaves[index]
    return ExportedCheckpoint(
        note=history.notes[-1],
        rotations=history.rotations,
        leaf=(leaf.run_id, leaf.seq, leaf.hash.hex()),
        index=index,
        proof=[digest.hex() for digest in merkle.inclusion_proof(leaves, index)],
    )


def read_export(path: Path) -> tuple[ExportHeader, list[StoredRow]]:
    """Parse an exported run without checking it.

    Raises:
        JournalCorrupt: it is not one, or a line cannot be read; `seq` is that of the line.
        UnknownVersion: a newer version exported it.
    """
    first, _, rest = path.read_bytes().partition(b"\n")
    try:
        header = _decode_header(first)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"{path} is not an exported run", run_id="", seq=0) from error
    if header.format != EXPORT_FORMAT:
        raise UnknownVersion(f"{path} has format {header.format}, this package reads {EXPORT_FORMAT}")
    rows: list[StoredRow] = []
    for number, line in enumerate(rest.splitlines(), 1):
        try:
            parsed = _decode_line(line)
            rows.append(
                (parsed.seq, base64.b64decode(parsed.body, validate=True), bytes.fromhex(parsed.hash))
            )
        except (msgspec.MsgspecError, ValueError, binascii.Error) as error:
            problem = f"{path}: line {number + 1} is damaged"
            raise JournalCorrupt(problem, run_id=header.run_id, seq=number) from error
    return header, rows


def verify_export(path: Path, *, trusted: Sequence[VerifierKey] = ()) -> Report:
    """Check an exported run by itself: chain, end, and the checkpoint it carries."""
    findings: list[Finding] = []
    records = checkpoints = 0
    run_id = ""
    try:
        header, rows = read_export(path)
        run_id = header.run_id
        codec.check(run_id, 0, codec.genesis(run_id), rows)
        records = len(rows)
        if records != header.records or not rows or rows[-1][2].hex() != header.hash:
            raise JournalCorrupt(f"{path} does not end where it says", run_id=run_id, seq=records + 1)
        if header.checkpoint is not None:
            _check_proof(header.checkpoint, rows, trusted)
            checkpoints = 1 if trusted else 0
        elif trusted:
            raise ValueError("it carries no checkpoint")
    except JournalCorrupt as error:
        findings.append(Finding(run_id=error.run_id, seq=error.seq, problem=str(error)))
    except (ValueError, UnknownVersion) as error:
        findings.append(Finding(run_id=run_id, seq=0, problem=f"{path}: {error}"))
    return Report(runs=1, records=records, checkpoints=checkpoints, findings=findings)


def _check_proof(
    proof: ExportedCheckpoint, rows: Sequence[StoredRow], trusted: Sequence[VerifierKey]
) -> None:
    if trusted:
        text, _ = open_note(proof.note, trusted_after(proof.rotations, trusted))
    else:
        text = proof.note.rpartition("\n\n")[0] + "\n"
    checkpoint = Checkpoint.parse(text)
    run_id, seq, digest = proof.leaf
    leaf = Leaf(run_id, seq, bytes.fromhex(digest)).digest()
    path = [bytes.fromhex(sibling) for sibling in proof.proof]
    if not merkle.includes(checkpoint.root, checkpoint.size, proof.index, leaf, path):
        raise ValueError("its checkpoint does not include the run")
    if not 0 < seq <= len(rows) or rows[seq - 1][2].hex() != digest:
        raise ValueError(f"record {seq} is not the one that the checkpoint saw")


async def import_run(journal: StoreJournal, path: Path, *, progress: Progress | None = None) -> int:
    """Store an exported run, byte for byte, in a journal that has no run of that name.

    Returns:
        The number of records.

    Raises:
        JournalConflict: the journal has a run of that name.
        JournalCorrupt: the export is damaged; nothing is stored.
    """
    header, rows = await asyncio.to_thread(read_export, path)
    codec.check(header.run_id, 0, codec.genesis(header.run_id), rows)
    await copy_rows(journal, header.run_id, rows, progress=progress)
    return len(rows)


async def copy_rows(
    journal: StoreJournal, run_id: str, rows: Sequence[StoredRow], *, progress: Progress | None = None
) -> None:
    """Store checked rows of another journal as they are, as a new run."""
    if not is_own_run(run_id) and await journal.read_rows(run_id, after=0, limit=1):
        raise JournalConflict(f"the journal has a run {run_id} already")
    last_epoch = codec.decode(rows[-1][1], bytes(32), rows[-1][2]).epoch
    claim = await journal.on_writer(lambda: journal.store.claim(run_id))
    # Whoever continues the run must have a greater epoch than its last record.
    while claim.epoch < last_epoch:
        claim = await journal.on_writer(lambda: journal.store.claim(run_id))
    for start in range(0, len(rows), _PAGE_RECORDS):
        part = rows[start : start + _PAGE_RECORDS]
        batch = Batch(run_id, claim.epoch, [(claim.run, *row) for row in part])
        if await journal.on_writer(partial(journal.store.commit, [batch])):
            raise JournalConflict(f"another writer opened run {run_id} meanwhile")
        if progress is not None:
            progress(start + len(part))
