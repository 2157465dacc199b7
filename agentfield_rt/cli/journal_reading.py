"""Opens a journal: finds the file or server, the run that is meant, the words behind references."""

import contextlib
import re
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
from agentfield_rt.core.records import ImageReceived, RecordingSegmentStored
from agentfield_rt.plane.data_directory import journal_path
from agentfield_rt.plane.notation import run_id_of

_NO_TEXT = frozenset({ImageReceived.kind, RecordingSegmentStored.kind})
"""Records whose content a terminal cannot show."""
_URL = re.compile(r"(sqlite|postgresql|postgres|nats|nats-unsynced):|memory:$")


def is_url(place: str) -> bool:
    """Whether `place` is a journal's URL and not a path."""
    return _URL.match(place) is not None


def journal_file(place: str) -> Path:
    """The journal in a data folder, or `place` itself.

    Raises:
        Failure: there is none, or it is on a server.
    """
    if is_url(place):
        raise Failure(f"{shown(place)} is no folder or file on this machine; --data must name one for this")
    path = file_at(place)
    if not path.is_file():
        raise Failure(f"there is no journal at {path}; --data names a data folder, a journal file or its URL")
    return path


def file_at(place: str) -> Path:
    """Where the journal of a data folder is or would be, or `place` itself."""
    path = Path(place)
    return journal_path(path) if path.is_dir() else path


def journal_url(place: str) -> str:
    """The URL of a journal that is there.

    Raises:
        Failure: there is none.
    """
    return place if is_url(place) else f"sqlite:///{journal_file(place)}"


@contextlib.asynccontextmanager
async def reading(place: str) -> AsyncGenerator[StoreJournal]:
    """The journal at `place`, read only."""
    url = journal_url(place)
    try:
        async with open_journal(url, read_only=True) as journal:
            yield journal
    except ValueError as error:
        raise Failure(str(error)) from error
    except JournalUnavailable as error:
        raise Failure(f"{shown(url)} cannot be read: {error}", ExitCode.SERVER) from error


def shown(url: str) -> str:
    """A journal's URL without the credentials that may be in it; a path for a file."""
    if (path := url.removeprefix("sqlite:///")) != url or not is_url(url):
        return path
    scheme, _, rest = url.partition("://")
    place, _, parameters = rest.partition("?")
    if "@" in parameters:  # a password with `?` in it looks the same: nothing here is surely none
        place = "…"
    return f"{scheme}://{place.rpartition('@')[2]}" if rest else url


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
    wanted = run_id_of(name)
    if wanted in run_ids:
        return wanted
    found = [run_id for run_id in run_ids if run_id.startswith(wanted)]
    if len(found) != 1:
        several = f"{len(found)} runs begin with {name}" if found else f"there is no run {name}"
        raise Failure(f"{several}; `af journal list` names them")
    return found[0]


def content_file(place: str) -> Path:
    """The content store beside a journal.

    Raises:
        Failure: there is none, or its key is missing.
    """
    path = journal_file(place).with_name("content.db")
    if not path.is_file() or not path.with_name("content.db.key").is_file():
        raise Failure(f"there is no content store {path} with its key, so no words can be found")
    return path


async def read_texts(place: str, envelopes: Iterable[Envelope]) -> dict[str, str]:
    """What the references of `envelopes` stand for. What was erased, and what is no text, is left out.

    Raises:
        Failure: there is no content store beside the journal.
    """
    path = content_file(place)
    texts: dict[str, str] = {}
    async with open_content(f"sqlite:///{path}", read_only=True) as content:
        for envelope in envelopes:
            for ref in () if envelope.kind in _NO_TEXT else envelope.content_refs:
                text = await _text(content, ref)
                if text is not None:
                    texts[ref] = text
    return texts


async def _text(content: ContentStore, ref: str) -> str | None:
    try:
        return (await content.get(ref)).decode(errors="replace")
    except ContentGone:
        return None
