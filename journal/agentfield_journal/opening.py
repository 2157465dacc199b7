"""From a URL to an open journal."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from agentfield_journal.content.port import ContentPlace
from agentfield_journal.content.seal import MasterKey
from agentfield_journal.content.sqlite import SqliteContent, read_or_make_key
from agentfield_journal.content.store import MemoryContent, QueuedContentStore
from agentfield_journal.engine import Limits, StoreJournal
from agentfield_journal.errors import JournalUnavailable
from agentfield_journal.leased import LeasedJournal
from agentfield_journal.stores.leasing import LeaseTerms, LeasingStore
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Store
from agentfield_journal.stores.sqlite import SqliteStore


class Closable(Protocol):
    async def close(self) -> None: ...


class Held(Protocol):
    def close(self) -> None: ...


OpenedT = TypeVar("OpenedT", bound=Closable)
HeldT = TypeVar("HeldT", bound=Held)


class Opening(Generic[OpenedT]):
    """Await it for the open thing, or enter it to have that closed at the end. Use it once."""

    def __init__(self, make: Callable[[], Awaitable[OpenedT]]) -> None:
        self._make = make
        self._opened: OpenedT | None = None

    def __await__(self) -> Generator[object, None, OpenedT]:
        return self._make().__await__()

    async def __aenter__(self) -> OpenedT:
        self._opened = await self._make()
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()


def open_journal(
    url: str, *, read_only: bool = False, limits: Limits | None = None, lease: LeaseTerms | None = None
) -> Opening[StoreJournal]:
    """Open the journal at `url` on the running event loop.

    `async with open_journal(url) as journal:` closes it at the end; `journal = await open_journal(url)`
    leaves that to the caller.

    Args:
        url: `memory:`, `sqlite:///relative/journal.db`, `sqlite:////absolute/journal.db`,
            `postgresql://user@host/database`, or `nats://host:4222/STREAM?monitor=http://host:8222`.
        read_only: Read beside the one process that writes; `open_run` is refused.
        lease: Who holds the leases of runs on a server, and for how long; by default this process.

    Raises:
        ValueError: no store is known by that URL, or it is not whole.
        JournalConflict: another process writes to it.
        JournalUnavailable: it cannot be reached or created.
        UnknownVersion: it was written by a newer version of this package.
    """
    make_store = _store_maker(url, read_only=read_only, lease=lease)

    async def make() -> StoreJournal:
        store = await _in_thread(make_store)
        if isinstance(store, LeasingStore):
            return LeasedJournal(store, limits or Limits())
        return StoreJournal(store, limits or Limits())

    return Opening(make)


def open_content(
    url: str,
    *,
    master_key: bytes | None = None,
    read_only: bool = False,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Opening[QueuedContentStore]:
    """Open the content store at `url`, as `open_journal` opens a journal.

    Args:
        url: `memory:`, `sqlite:///relative/content.db` or `sqlite:////absolute/content.db`; never the
            journal's own file.
        master_key: 32 random bytes that wrap the subjects' keys. Without it the key is kept in
            `<path>.key`, made at first use; keep that file out of backups of the store.
        read_only: Read beside the one process that writes.
        clock_ns: Wall time, for the age of content.

    Raises:
        ValueError: no store is known by that URL.
        JournalConflict: another process writes to it, or its key file is lost or others can read it.
        JournalUnavailable: it cannot be reached or created.
    """
    make_place = _content_maker(url, master_key, read_only=read_only)

    async def make() -> QueuedContentStore:
        return QueuedContentStore(await _in_thread(make_place), clock_ns=clock_ns)

    return Opening(make)


async def _in_thread(make: Callable[[], HeldT]) -> HeldT:
    """Open what blocks. When nobody waits for it any more it is closed at once: it may hold a lock."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, make)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(partial(_close_unwanted, loop))
        raise


def _close_unwanted(loop: asyncio.AbstractEventLoop, opened: asyncio.Future[HeldT]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        loop.run_in_executor(None, opened.result().close)


def _content_maker(url: str, master_key: bytes | None, *, read_only: bool) -> Callable[[], ContentPlace]:
    if url == "memory:":
        return MemoryContent
    path = _sqlite_path(url)

    def make() -> ContentPlace:
        key_path = path.with_name(path.name + ".key")
        master = MasterKey(master_key) if master_key else read_or_make_key(key_path, store=path)
        return SqliteContent(path, master, read_only=read_only)

    return make


def _store_maker(url: str, *, read_only: bool, lease: LeaseTerms | None) -> Callable[[], Store]:
    scheme = url.partition(":")[0]
    if url == "memory:":
        return MemoryStore
    if scheme in ("postgresql", "postgres"):
        return partial(_postgres_store, url, read_only=read_only, lease=lease)
    if scheme in ("nats", "nats-unsynced"):
        return partial(_nats_store, url, read_only=read_only, lease=lease)
    path = _sqlite_path(url)
    return lambda: SqliteStore(path, read_only=read_only)


def _postgres_store(url: str, *, read_only: bool, lease: LeaseTerms | None) -> Store:
    try:
        from agentfield_journal.stores.postgres import PostgresStore
    except ImportError as error:
        raise JournalUnavailable("postgresql: URLs need `pip install agentfield-rt[postgres]`") from error
    return PostgresStore(url, read_only=read_only, terms=lease)


def _nats_store(url: str, *, read_only: bool, lease: LeaseTerms | None) -> Store:
    try:
        from agentfield_journal.stores.nats import NatsStore
    except ImportError as error:
        raise JournalUnavailable("nats: URLs need `pip install agentfield-rt[nats]`") from error
    return NatsStore(url, read_only=read_only, terms=lease)


def _sqlite_path(url: str) -> Path:
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite" or not rest.startswith("///") or len(rest) == 3:
        raise ValueError(
            f"no store for {scheme}: URLs; use memory:, sqlite:///path/name.db, postgresql:// or nats://"
        )
    if rest == "///:memory:":
        raise ValueError("a store in memory has the URL memory:, it is no file")
    return Path(rest[3:])
