"""From one journal to a new one in the current format; the source is only read."""

from collections.abc import Callable

from agentfield_journal.engine import StoreJournal
from agentfield_journal.errors import JournalConflict
from agentfield_journal.opening import open_journal
from agentfield_journal.tools.exchange import copy_rows, read_run
from agentfield_journal.verification import Report, verify


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
            raise JournalConflict(f"the source is damaged: {found.findings[0].problem}; nothing was copied")
        if await target.all_run_ids():
            raise JournalConflict("the target is not empty; name a new one")
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
        rows = await read_run(source, run_id)
        await copy_rows(target, run_id, rows)
        done += len(rows)
        if progress is not None:
            progress(done)
