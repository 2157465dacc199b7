"""Is what is stored what was written? Reads every record and names the first bad one of each run.

Works on anything that can be read as rows: a journal on any store, or an exported run.
"""

from collections.abc import Callable, Sequence

import msgspec

from agentfield_journal.engine import StoreJournal, is_own_run
from agentfield_journal.errors import JournalCorrupt, JournalError, UnknownVersion
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
from agentfield_journal.retirement import TOMBSTONE_RUN, tombstones
from agentfield_journal.stores.port import EpochStore

_PAGE_RECORDS = 2_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that contradicts the chain or a checkpoint. `seq` is the first bad record of `run_id`.

    An empty `run_id` means the journal as a whole.
    """

    run_id: str
    seq: int
    problem: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` looked at and what it found. `checkpoints` counts those whose signature was checked."""

    runs: int
    records: int
    checkpoints: int
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        return not self.findings


class _Findings:
    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.records = 0
        self.checkpoints = 0

    def add(self, problem: str, *, run_id: str = "", seq: int = 0) -> None:
        self.found.append(Finding(run_id=run_id, seq=seq, problem=problem))


async def verify(
    journal: StoreJournal,
    *,
    run_id: str | None = None,
    trusted: Sequence[VerifierKey] = (),
    earlier: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check order, chain, identity and epochs of every record of one run or of all, and the checkpoints.

    Without a checkpoint from outside, a journal cut at the end and signed again cannot be told from a
    shorter one: give `earlier` notes, kept where the writer could not change them.

    Args:
        journal: Open for reading or writing.
        run_id: Only this run (checkpoints that name it are still compared with it).
        trusted: Keys whose checkpoints count. Without any, signatures are not checked.
        earlier: Signed checkpoints from a second place, oldest first.
        progress: Called with the number of records checked so far, after each page.

    Raises:
        JournalUnavailable: the journal could not be read.
    """
    findings = _Findings()
    # Of any length: a large file takes longer than any other question may.
    for problem in await journal.on_reader(journal.store.integrity_problems):
        findings.add(problem)
    run_ids = [run_id] if run_id is not None else await journal.all_run_ids()
    hashes: dict[str, dict[int, bytes]] = {}
    history = await _read_checkpoints(journal, findings)
    for leaf in history.leaves:
        hashes.setdefault(leaf.run_id, {})[leaf.seq] = b""
    kept = await _kept_epochs(journal, findings)
    for name in run_ids:
        epoch = await _verify_run(journal, name, hashes.get(name, {}), findings, progress)
        if kept.get(name, epoch) < epoch:
            findings.add(f"run {name}: the epoch of its newest writer was set back", run_id=name, seq=0)
    leaves = [leaf for leaf in history.leaves if run_id in (None, leaf.run_id)]
    buried = await _buried(journal, history, trusted, findings)
    _compare_leaves(leaves, hashes, buried, findings)
    _check_notes(history, list(earlier), list(trusted), findings)
    return Report(
        runs=len([name for name in run_ids if not is_own_run(name)]),
        records=findings.records,
        checkpoints=findings.checkpoints,
        findings=findings.found,
    )


async def _verify_run(
    journal: StoreJournal,
    run_id: str,
    wanted: dict[int, bytes],
    findings: _Findings,
    progress: Callable[[int], None] | None,
) -> int:
    """The epoch of its last record, or of the last before a bad one."""
    after, epoch = 0, 0
    try:
        while page := await journal.read(run_id, after=after, limit=_PAGE_RECORDS):
            for record in page:
                if record.epoch < epoch:
                    raise JournalCorrupt("the writer's epoch goes back", run_id=run_id, seq=record.seq)
                epoch = record.epoch
                if record.seq in wanted:
                    wanted[record.seq] = record.hash
            after = page[-1].seq
            findings.records += len(page)
            if progress is not None:
                progress(findings.records)
        if after == 0 and not wanted:
            raise JournalCorrupt("the run is listed and has no records", run_id=run_id, seq=1)
    except JournalCorrupt as error:
        findings.add(str(error), run_id=run_id, seq=error.seq)
    except UnknownVersion as error:
        findings.add(str(error), run_id=run_id, seq=await _first_of_newer_version(journal, run_id, after))
    return epoch


async def _first_of_newer_version(journal: StoreJournal, run_id: str, after: int) -> int:
    """Its place behind `after`: a page with one in it says no more than that."""
    try:
        while await journal.read(run_id, after=after, limit=1):
            after += 1
    except UnknownVersion:
        """Here it is."""
    return after + 1


async def _kept_epochs(journal: StoreJournal, findings: _Findings) -> dict[str, int]:
    if not isinstance(journal.store, EpochStore):
        return {}
    try:
        return await journal.on_reader(journal.store.epochs)
    except JournalCorrupt as error:
        findings.add(str(error))
        return {}


async def _read_checkpoints(journal: StoreJournal, findings: _Findings) -> History:
    try:
        return read_history(await journal.read(CHECKPOINT_RUN))
    except (JournalError, msgspec.MsgspecError) as error:
        findings.add(f"the checkpoints cannot be read: {error}", run_id=CHECKPOINT_RUN)
        return History([], [], [])


async def _buried(
    journal: StoreJournal, history: History, trusted: Sequence[VerifierKey], findings: _Findings
) -> dict[str, int]:
    """Expired runs and where they ended, from tombstones whose signature holds."""
    buried: dict[str, int] = {}
    try:
        keys = trusted_after(history.rotations, trusted)
        for stone in await tombstones(journal):
            if trusted and open_note(stone.note, keys)[0] != stone.text():
                raise ValueError(f"the tombstone of run {stone.run_id} was signed for something else")
            buried[stone.run_id] = stone.seq
    except (ValueError, JournalError, msgspec.MsgspecError) as error:
        findings.add(f"the tombstones do not hold: {error}", run_id=TOMBSTONE_RUN)
    return buried


def _compare_leaves(
    leaves: Sequence[Leaf], hashes: dict[str, dict[int, bytes]], buried: dict[str, int], findings: _Findings
) -> None:
    # What follows a bad record was not read: the checkpoints that saw it say nothing new.
    reported = {finding.run_id for finding in findings.found}
    for leaf in leaves:
        found = hashes[leaf.run_id][leaf.seq]
        expired = not any(hashes[leaf.run_id].values()) and leaf.seq <= buried.get(leaf.run_id, 0)
        if found != leaf.hash and leaf.run_id not in reported and not expired:
            reported.add(leaf.run_id)
            what = "is missing" if not found else "is not the one"
            findings.add(
                f"run {leaf.run_id}: record {leaf.seq} {what} that a checkpoint saw",
                run_id=leaf.run_id,
                seq=leaf.seq,
            )


def _check_notes(
    history: History, earlier: list[str], trusted: list[VerifierKey], findings: _Findings
) -> None:
    digests = [leaf.digest() for leaf in history.leaves]
    try:
        keys = trusted_after(history.rotations, trusted) if trusted else []
    except ValueError as error:
        findings.add(f"a key rotation does not hold: {error}", run_id=CHECKPOINT_RUN)
        keys = trusted
    seen: list[Checkpoint] = []
    for note in dict.fromkeys([*history.notes, *earlier]):
        try:
            if keys:
                text, _ = open_note(note, keys)
                findings.checkpoints += 1
            else:
                text = note.rpartition("\n\n")[0] + "\n"
            seen.append(Checkpoint.parse(text))
        except ValueError as error:
            findings.add(f"a checkpoint does not hold: {error}", run_id=CHECKPOINT_RUN)
    _compare_roots(seen, digests, findings)


def _compare_roots(seen: Sequence[Checkpoint], digests: Sequence[bytes], findings: _Findings) -> None:
    roots = merkle.roots(digests, {checkpoint.size for checkpoint in seen})
    for checkpoint in seen:
        if checkpoint.size > len(digests):
            findings.add(
                f"a checkpoint saw {checkpoint.size} heads, the journal knows {len(digests)}:"
                " it was cut, or is an older copy",
                run_id=CHECKPOINT_RUN,
            )
        elif roots[checkpoint.size] != checkpoint.root:
            findings.add(
                f"the first {checkpoint.size} heads are not those that a checkpoint saw",
                run_id=CHECKPOINT_RUN,
            )
