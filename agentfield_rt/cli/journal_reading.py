"""Opens a journal to look at it: finds the file, the run that is meant, the words behind references."""

import contextlib
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from agentfield_journal import (
    ContentGone,
    ContentStore,
    JournalUnavailable,
    StoreJournal,
    open_content,
    open_journal,
)
from agentfield_journal.envelope import Envelope
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.plane.control_plane import journal_path


def journal_file(place: Path) -> Path:
    """The journal in a data folder, or `place` itself.

    Raises:
        Failure: there is none.
    """
    path = journal_path(place) if place.is_dir() else place
    if not path.is_file():
        raise Failure(f"there is no journal at {path}; --data names a data folder or a journal file")
    return path


@contextlib.asynccontextmanager
async def reading(place: Path) -> AsyncGenerator[StoreJournal]:
    """The journal at `place`, read only."""
    path = journal_file(place)
    try:
        async with open_journal(f"sqlite:///{path}", read_only=True) as journal:
            yield journal
    except JournalUnavailable as error:
        raise Failure(f"{path} cannot be read: {error}", ExitCode.SERVER) from error


async def find_run(journal: StoreJournal, name: str | None) -> str:
    """The run that `name` begins, as a run or a session; the newest one for None.

    Raises:
        Failure: there is none, or more than one.
    """
    run_ids = await journal.run_ids()
    if not run_ids:
        raise Failure("the journal is empty: nothing has run yet")
    if name is None:
        return run_ids[0]
    wanted = name.replace("sess_", "run_", 1) if name.startswith("sess_") else name
    if wanted in run_ids:
        return wanted
    found = [run_id for run_id in run_ids if run_id.startswith(wanted)]
    if len(found) != 1:
        several = f"{len(found)} runs begin with {name}" if found else f"there is no run {name}"
        raise Failure(f"{several}; `af journal list` names them")
    return found[0]


async def read_texts(place: Path, envelopes: Iterable[Envelope]) -> dict[str, str]:
    """What the references of `envelopes` stand for. What was erased is left out.

    Raises:
        Failure: there is no content store beside the journal.
    """
    path = journal_file(place).with_name("content.db")
    if not path.is_file() or not path.with_name("content.db.key").is_file():
        raise Failure(f"there is no content store {path} with its key; leave --content out")
    texts: dict[str, str] = {}
    async with open_content(f"sqlite:///{path}", read_only=True) as content:
        for envelope in envelopes:
            for ref in envelope.content_refs:
                text = await _text(content, ref)
                if text is not None:
                    texts[ref] = text
    return texts


async def _text(content: ContentStore, ref: str) -> str | None:
    try:
        return (await content.get(ref)).decode(errors="replace")
    except ContentGone:
        return None
