"""Runs that a process left open when it died: what died with it is ended before anything new begins."""

import logging
from collections.abc import Iterable

from agentfield_journal import JournalConflict, JournalError
from agentfield_journal.ports import Journal
from agentfield_rt.core import records
from agentfield_rt.errors import RealtimeError, Reason, RunIncomplete
from agentfield_rt.inspection import RunInJournal, inspect_run
from agentfield_rt.plane.notation import is_node_run, is_webhook_run
from agentfield_rt.recovery import end_run, end_what_died
from agentfield_rt.run import Run

log = logging.getLogger(__name__)


async def end_left_runs(journal: Journal, run_ids: Iterable[str]) -> list[str]:
    """Close and seal runs that have no last record and no living writer, but for those that go on elsewhere.

    A run that another process writes is left alone, and so is one that cannot be folded: the log names it.

    Args:
        run_ids: The runs without a last record.

    Returns:
        Those in which another process is at work: they stay open, and all else in them is closed.
    """
    ended = 0
    going_on: list[str] = []
    for run_id in run_ids:
        if is_node_run(run_id) or is_webhook_run(run_id):  # what they are about stands, or is told yet
            continue
        try:
            found = await inspect_run(journal, run_id)
            if not _has_died(found) and not found.goes_on:
                await _seal(journal, run_id)
                continue
            if not found.goes_on:
                ended += await end_run(journal, run_id)
                continue
            if _has_died(found):
                await end_what_died(journal, run_id)
            going_on.append(run_id)
        except JournalConflict:
            continue
        except (RealtimeError, JournalError) as error:
            log.error("run %s was left open and cannot be ended: %s", run_id, error)
    if ended:
        log.warning(
            "%d runs were left open by a process that died; they are closed and sealed as failed", ended
        )
    return going_on


async def _seal(journal: Journal, run_id: str) -> None:
    """All that was in it has ended, and only its last record is missing."""
    run = await Run.open(journal, run_id)
    try:
        if run.is_sealed:
            return
        try:
            await run.seal(records.RunCompleted())
        except RunIncomplete:  # an agent told that a call had begun, and never how it ended
            await run.seal(records.RunFailed(reason=Reason.PROCESS_LOST))
    finally:
        await run.release()


def _has_died(found: RunInJournal) -> bool:
    """Whether something else than other processes' work is open in it; only then it has to be written."""
    has_open = any(not feature.outlives for feature in found.features)
    return has_open or bool(found.unsettled or found.started or found.sessions)
