"""What a control plane keeps on its disk, opened: journal, content, the catalogue of both."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from agentfield_journal import JournalConflict, QueuedContentStore, StoreJournal, open_content, open_journal
from agentfield_rt.config import Settings
from agentfield_rt.plane.catalogue.catalogue import Catalogue, open_catalogue
from agentfield_rt.plane.errors import DataDirectoryInUse, DataDirectoryUnusable
from agentfield_rt.plane.operation.telemetry import Telemetry
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.upkeep.content_expiry import expire_content
from agentfield_rt.plane.upkeep.evidence import keep_evidence
from agentfield_rt.plane.upkeep.left_erasures import finish_left_erasures
from agentfield_rt.plane.upkeep.left_runs import end_left_runs


def journal_path(data: Path) -> Path:
    """Where the journal of a data directory is."""
    return data / "journal.db"


async def _open_data(data: Path, stack: AsyncExitStack) -> tuple[StoreJournal, QueuedContentStore]:
    """The journal first: whoever has its lock has the whole directory."""
    try:
        await asyncio.to_thread(data.mkdir, parents=True, exist_ok=True)
        try:
            journal = await stack.enter_async_context(open_journal(f"sqlite:///{journal_path(data)}"))
        except JournalConflict as error:
            raise DataDirectoryInUse(
                f"{data} is in use by another server ({error}); stop it or choose another --data"
            ) from error
        content = await stack.enter_async_context(open_content(f"sqlite:///{data / 'content.db'}"))
    except OSError as error:
        raise DataDirectoryUnusable(
            f"{data} cannot be used as a data directory ({error.strerror}); choose another with --data"
        ) from error
    except JournalConflict as error:
        raise DataDirectoryUnusable(f"{data} cannot be used as a data directory: {error}") from error
    return journal, content


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What outlives the process, opened.

    Attributes:
        going_on: Runs of an earlier process that this one goes on with.
    """

    journal: StoreJournal
    content: QueuedContentStore
    catalogue: Catalogue
    runs: Runs
    telemetry: Telemetry
    going_on: list[str]


async def open_kept(settings: Settings, stack: AsyncExitStack) -> Kept:
    """Open it, end what an earlier process left, and see to it that it is proved and expires."""
    journal, content = await _open_data(settings.data, stack)
    catalogue = await stack.enter_async_context(open_catalogue(settings.data / "catalogue.db", journal))
    going_on = await end_left_runs(journal, [run.run_id for run in await catalogue.open_runs()])
    await finish_left_erasures(journal, content)
    telemetry = Telemetry(settings)
    stack.callback(telemetry.close)
    runs = Runs(journal, observe=telemetry.observe)
    await stack.enter_async_context(keep_evidence(journal, runs, settings))
    await stack.enter_async_context(expire_content(content, settings))
    return Kept(
        journal=journal,
        content=content,
        catalogue=catalogue,
        runs=runs,
        telemetry=telemetry,
        going_on=going_on,
    )
