"""From a URL to open memory, which forgets by itself what was erased."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from agentfield_journal import JournalError, JournalUnavailable, QueuedContentStore
from agentfield_rt.plane.memory.memory import Memory
from agentfield_rt.plane.memory.place import MemoryPlace, OwnMemory
from agentfield_rt.plane.memory.sqlite import SqliteMemory
from agentfield_rt.plane.upkeep.recurring import recurring

log = logging.getLogger(__name__)

_SWEEP_EVERY_S = 60.0


@asynccontextmanager
async def open_memory(
    url: SecretStr | None, *, data: Path, content: QueuedContentStore
) -> AsyncGenerator[Memory]:
    """Memory, closed at the end.

    Args:
        url: `postgresql://…` or `memory:`; None for a file in the data directory.
        content: Keeps the keys that it is sealed with.

    Raises:
        ValueError: nothing is known by that URL.
        JournalConflict: another process writes to the file.
        JournalUnavailable: it cannot be reached or created, or the extra `postgres` is not installed.
    """
    address = None if url is None else url.get_secret_value()
    place = await asyncio.to_thread(_make_place, address, data)
    memory = Memory(place, content)

    async def sweep() -> None:
        try:
            dropped = await memory.sweep()
        except JournalError as error:
            log.warning("memory could not be searched for what was erased: %s", error)
            return
        if dropped:
            log.info("%d parts of memory were about somebody who was erased; they are gone", dropped)

    try:
        async with recurring(sweep, every_s=_SWEEP_EVERY_S):
            yield memory
    finally:
        await memory.close()


def _make_place(url: str | None, data: Path) -> MemoryPlace:
    if url is None:
        return SqliteMemory(data / "memory.db")
    if url == "memory:":
        return OwnMemory()
    if url.partition(":")[0] not in ("postgresql", "postgres"):
        raise ValueError("memory is kept at a postgresql:// URL, in memory:, or where the journal is")
    try:
        from agentfield_rt.plane.memory.postgres import PostgresMemory
    except ImportError as error:
        raise JournalUnavailable("postgresql: URLs need `pip install agentfield-rt[postgres]`") from error
    return PostgresMemory(url)
