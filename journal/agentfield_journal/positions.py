"""How far a journal has come, and which runs have grown since: for whoever follows it and was away.

Only stores that keep one order of all records can tell; of the others every run is compared.
"""

from functools import partial

from agentfield_journal.engine import StoreJournal, is_own_run
from agentfield_journal.stores.port import KeepsOrder, Position


async def position_of(journal: StoreJournal) -> Position | None:
    """How far it has come: whoever is told of commits has been told of everything up to there.

    Raises:
        JournalUnavailable: the journal is closed or failed.
    """
    store = journal.store
    return await journal.on_writer(store.position) if isinstance(store, KeepsOrder) else None


async def runs_since(journal: StoreJournal, position: Position) -> list[str] | None:
    """The runs with records after `position`; None: nobody can tell, or it is no position of this journal.

    Raises:
        JournalUnavailable: the journal is closed or failed.
    """
    store = journal.store
    if not isinstance(store, KeepsOrder):
        return None
    found = await journal.on_reader(partial(store.runs_since, position))
    return None if found is None else [run_id for run_id in found if not is_own_run(run_id)]
