"""Erasures that a process did not live to finish: finished and journaled before anything new begins."""

import logging

from agentfield_journal import JournalError, QueuedContentStore, StoreJournal
from agentfield_journal.erasure import resume_erasures

log = logging.getLogger(__name__)


async def finish_left_erasures(journal: StoreJournal, content: QueuedContentStore) -> None:
    """Finish them; what cannot be finished is hidden from readers, logged, and tried at the next start."""
    try:
        finished = await resume_erasures(journal, content)
    except JournalError as error:
        log.error("content that is to be erased is still there, in part: %s", error)
        return
    if finished:
        log.warning("%d erasures were left unfinished by a process that died; they are done", len(finished))
