"""Runs that a process left open when it died: brought to their end before anything new begins."""

import logging

from agentfield_journal import JournalConflict, JournalError
from agentfield_journal.ports import Journal
from agentfield_rt.core.completion import SEALS
from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane.notation import is_node_run
from agentfield_rt.recovery import end_run

log = logging.getLogger(__name__)


async def end_left_runs(journal: Journal) -> int:
    """Close and seal every run that has no last record and no living writer; returns how many.

    A run that another process writes is left alone, so is one that cannot be folded (the log names it), and
    so are nodes' registrations: they stand.
    """
    ended = 0
    for head in await journal.heads():
        if is_node_run(head.run_id):
            continue
        last = await journal.read(head.run_id, after=head.seq - 1, limit=1)
        if not last or last[0].kind in SEALS:
            continue
        try:
            ended += await end_run(journal, head.run_id)
        except JournalConflict:
            continue
        except (RealtimeError, JournalError) as error:
            log.error("run %s was left open and cannot be ended: %s", head.run_id, error)
    if ended:
        log.warning(
            "%d runs were left open by a process that died; they are closed and sealed as failed", ended
        )
    return ended
