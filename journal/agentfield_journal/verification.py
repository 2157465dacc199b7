"""Is what is stored what was written? Reads every record and names the first bad one of each run."""

from collections.abc import Callable

import msgspec

from agentfield_journal.engine import StoreJournal
from agentfield_journal.errors import JournalCorrupt, UnknownVersion

_PAGE_RECORDS = 2_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that contradicts the chain. `seq` is the first bad record of `run_id`."""

    run_id: str
    seq: int
    problem: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` looked at and what it found."""

    runs: int
    records: int
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        return not self.findings


async def verify(
    journal: StoreJournal, *, run_id: str | None = None, progress: Callable[[int], None] | None = None
) -> Report:
    """Check order, chain, identity and epochs of every record of one run, or of all.

    Args:
        journal: Open for reading or writing.
        run_id: Only this run.
        progress: Called with the number of records checked so far, after each page.

    Raises:
        JournalUnavailable: the journal could not be read.
    """
    run_ids = [run_id] if run_id is not None else await journal.run_ids()
    findings: list[Finding] = []
    records = 0
    for name in run_ids:
        after, epoch = 0, 0
        try:
            while page := await journal.read(name, after=after, limit=_PAGE_RECORDS):
                for record in page:
                    if record.epoch < epoch:
                        raise JournalCorrupt("the writer's epoch goes back", run_id=name, seq=record.seq)
                    epoch = record.epoch
                after = page[-1].seq
                records += len(page)
                if progress is not None:
                    progress(records)
        except JournalCorrupt as error:
            findings.append(Finding(run_id=name, seq=error.seq, problem=str(error)))
        except UnknownVersion as error:
            findings.append(Finding(run_id=name, seq=after + 1, problem=str(error)))
    return Report(runs=len(run_ids), records=records, findings=findings)
