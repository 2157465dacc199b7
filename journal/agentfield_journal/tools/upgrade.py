"""From one journal to a new one in the current format; the source is only read."""

from collections.abc import Callable

from agentfield_journal.engine import StoreJournal
from agentfield_journal.errors import JournalConflict
from agentfield_journal.opening import open_journal
from agentfield_journal.tools.exchange import copy_rows
from agentfield_journal.verification import Report, verify

_PAGE_RECORDS = 10_000


async def upgrade_journal(
    source_url: str, target_url: str, *, progress: Callable[[int], None] | None = None
) -> Report:
    """Copy every run of a sound journal into an empty one, record bytes and chain unchanged.

    Also moves a journal between kinds of store. Archived runs come back into the new journal.

    Returns:
        The verification of the new journal.

    Raises:
        JournalConflict: the source is damaged, or the target is not empty.
        UnknownVersion: the source was written by a newer version.
    """
    async with open_journal(source_url, read_only=True) as source, open_journal(target_url) as target:
        if not (found := await verify(source)).sound:
            raise JournalConflict(f"{source_url} is damaged: {found.findings[0].problem}; nothing was copied")
        if await target.all_run_ids():
            raise JournalConflict(f"{target_url} is not empty")
        await copy_journal(source, target, progress=progress)
        return await verify(target)


async def copy_journal(
    source: StoreJournal, target: StoreJournal, *, progress: Callable[[int], None] | None = None
) -> None:
    """Copy every run of a sound journal into an empty one, oldest first.

    `progress` is called after each run with the number of records that are durable in `target`.
    """
    done = 0
    for run_id in reversed(await source.all_run_ids()):
        rows = await source.read_rows(run_id, after=0, limit=_PAGE_RECORDS)
        while len(rows) % _PAGE_RECORDS == 0 and (
            more := await source.read_rows(run_id, after=len(rows), limit=_PAGE_RECORDS)
        ):
            rows += more
        await copy_rows(target, run_id, rows)
        done += len(rows)
        if progress is not None:
            progress(done)
