"""One run as one file: exported with the checkpoint that proves it, verified alone, imported elsewhere."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from agentfield_journal import codec
from agentfield_journal.durable_files import create_private
from agentfield_journal.engine import StoreJournal, is_own_run
from agentfield_journal.errors import BatchTooLarge, JournalConflict, JournalCorrupt, UnknownVersion
from agentfield_journal.evidence.checkpoints import CHECKPOINT_RUN, read_history
from agentfield_journal.evidence.notes import VerifierKey
from agentfield_journal.stores.port import ROW_BYTES, StoredRow, make_batch
from agentfield_journal.tools.exported_proof import ExportedCheckpoint, Mismatch, check_proof, make_proof
from agentfield_journal.verification import Finding, Report

EXPORT_FORMAT = "agentfield-run/1"

_PAGE_RECORDS = 1_000
_EPOCHS_MAX = 10_000  # of a run that is imported: each costs a synced claim, and a file can say any number

Progress = Callable[[int], None]


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
    journal: StoreJournal,
    run_id: str,
    path: Path,
    *,
    leaves: bool = False,
    progress: Progress | None = None,
) -> ExportHeader:
    """Write a run to `path`, checked on the way, with the newest checkpoint that saw it.

    Args:
        leaves: Add all heads that checkpoints saw: then the file can be compared with any checkpoint of the
            journal, and shows that the run was not cut before one. It names the other runs.
        progress: Called with the number of records read so far.

    Raises:
        FileExistsError: there is something at `path`.
        JournalConflict: the journal has no such run.
        JournalCorrupt: the run is damaged; nothing is written.
    """
    rows = await read_run(journal, run_id, progress=progress)
    if not rows:
        raise JournalConflict(f"the journal has no run {run_id}")
    history = read_history(await journal.read(CHECKPOINT_RUN))
    header = ExportHeader(
        format=EXPORT_FORMAT,
        run_id=run_id,
        records=len(rows),
        hash=rows[-1][2].hex(),
        checkpoint=make_proof(history, run_id, leaves=leaves),
    )
    lines = [_encode(header)]
    for seq, body, digest in rows:
        lines.append(_encode(ExportLine(seq=seq, body=base64.b64encode(body).decode(), hash=digest.hex())))
    await asyncio.to_thread(create_private, path, b"\n".join(lines) + b"\n")
    return header


async def read_run(
    journal: StoreJournal, run_id: str, *, progress: Progress | None = None
) -> list[StoredRow]:
    """All rows of a run, checked; `progress` is called with the number read so far."""
    rows: list[StoredRow] = []
    while page := await journal.read_rows(run_id, after=len(rows), limit=_PAGE_RECORDS):
        rows += page
        if progress is not None:
            progress(len(rows))
    return rows


def read_export(path: Path) -> tuple[ExportHeader, list[StoredRow]]:
    """Parse an exported run without checking it.

    Raises:
        JournalCorrupt: it is not one, or a line cannot be read; `seq` is that of the line.
        UnknownVersion: a newer version exported it.
    """
    first, _, rest = path.read_bytes().partition(b"\n")
    try:
        header = _decode_header(first)
    except (msgspec.MsgspecError, RecursionError) as error:
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
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            problem = f"{path}: line {number + 1} is damaged"
            raise JournalCorrupt(problem, run_id=header.run_id, seq=number) from error
    return header, rows


def verify_export(path: Path, *, trusted: Sequence[VerifierKey] = (), earlier: Sequence[str] = ()) -> Report:
    """Check an exported run: chain, end, the checkpoint it carries, and that against `earlier` ones.

    Without its leaves an export can only be compared with a checkpoint of the same tree as its own.
    """
    findings: list[Finding] = []
    records = checkpoints = 0
    run_id = ""
    try:
        header, rows = read_export(path)
        run_id = header.run_id
        codec.check(run_id, 0, codec.genesis(run_id), rows)
        records = len(rows)
        _check_end(path, header, rows)
        if header.checkpoint is not None:
            checkpoints = check_proof(header.checkpoint, rows, trusted=trusted, earlier=earlier)
        elif trusted or earlier:
            raise ValueError("it carries no checkpoint")
    except JournalCorrupt as error:
        findings.append(Finding(run_id=error.run_id, seq=error.seq, problem=str(error)))
    except Mismatch as error:
        findings.append(Finding(run_id=run_id, seq=error.seq, problem=f"{path}: {error}"))
    except (ValueError, OverflowError, UnknownVersion) as error:
        findings.append(Finding(run_id=run_id, seq=0, problem=f"{path}: {error}"))
    return Report(runs=1, records=records, checkpoints=checkpoints, findings=findings)


def _check_end(path: Path, header: ExportHeader, rows: Sequence[StoredRow]) -> None:
    if len(rows) != header.records or not rows or rows[-1][2].hex() != header.hash:
        raise JournalCorrupt(f"{path} does not end where it says", run_id=header.run_id, seq=len(rows) + 1)


async def import_run(journal: StoreJournal, path: Path, *, progress: Progress | None = None) -> int:
    """Store an exported run, byte for byte, in a journal that has no run of that name.

    An import that was interrupted goes on where it stopped.

    Returns:
        The number of records of the run.

    Raises:
        JournalConflict: the journal has a run of that name, or the name is one of the journal's own.
        JournalCorrupt: the export is damaged; nothing is stored.
        BatchTooLarge: a record is larger than the journal's store takes; nothing is stored.
    """
    header, rows = await asyncio.to_thread(read_export, path)
    if is_own_run(header.run_id):
        raise JournalConflict(f"{path} holds {header.run_id}, which every journal keeps for itself")
    codec.check(header.run_id, 0, codec.genesis(header.run_id), rows)
    _check_end(path, header, rows)
    await copy_rows(journal, header.run_id, rows, progress=progress)
    return len(rows)


async def copy_rows(
    journal: StoreJournal, run_id: str, rows: Sequence[StoredRow], *, progress: Progress | None = None
) -> None:
    """Store checked rows of another journal as they are, as a new run or as the rest of one cut short."""
    here = {head.run_id: head for head in await journal.heads_of([run_id])}.get(run_id)
    done = 0 if here is None else here.seq
    if here is not None and (done >= len(rows) or rows[done - 1][2] != here.hash):
        raise JournalConflict(f"the journal has a run {run_id} already")
    last_epoch = codec.decode(rows[-1][1], bytes(32), rows[-1][2]).epoch
    if last_epoch > _EPOCHS_MAX:
        raise JournalConflict(f"run {run_id} had {last_epoch} writers; only up to {_EPOCHS_MAX} are imported")
    parts = _parts(rows[done:], journal.batch_bytes_max)
    claim = await journal.on_writer(lambda: journal.store.claim(run_id))
    # Whoever continues the run must have a greater epoch than its last record.
    while claim.epoch < last_epoch:
        claim = await journal.on_writer(lambda: journal.store.claim(run_id))
    for part in parts:
        batch = make_batch(run_id, claim, part)
        if await journal.on_writer(partial(journal.store.commit, [batch])):
            raise JournalConflict(f"another writer opened run {run_id} meanwhile")
        if progress is not None:
            progress(part[-1][0])


def _parts(rows: Sequence[StoredRow], bytes_max: int) -> list[list[StoredRow]]:
    """Consecutive rows that fit one batch each.

    Raises:
        BatchTooLarge: one row alone does not.
    """
    parts: list[list[StoredRow]] = []
    room_bytes = 0
    for row in rows:
        row_bytes = len(row[1]) + ROW_BYTES
        if row_bytes > bytes_max:
            raise BatchTooLarge(
                f"record {row[0]} takes {row_bytes} bytes and the journal {bytes_max} at most; nothing was"
                " stored, use a store of another kind or raise its server's limit"
            )
        if row_bytes > room_bytes or len(parts[-1]) == _PAGE_RECORDS:
            parts.append([])
            room_bytes = bytes_max
        parts[-1].append(row)
        room_bytes -= row_bytes
    return parts
