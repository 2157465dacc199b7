"""Memory of the agents of a plane: values and vectors in sealed drawers, changes to whoever watches."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from agentfield_journal import QueuedContentStore
from agentfield_rt.memory import (
    MATCHES_MAX,
    Change,
    Entry,
    Interest,
    Match,
    MemoryAccessError,
    MemoryFull,
    Scope,
    Section,
    Where,
)
from agentfield_rt.plane.memory.checks import (
    check_key,
    check_value,
    metadata_json,
    nanoseconds,
    packed_embedding,
)
from agentfield_rt.plane.memory.drawers import DrawerName, Drawers
from agentfield_rt.plane.memory.feed import REMEMBERED_MAX, Feed, Published
from agentfield_rt.plane.memory.place import MemoryPlace
from agentfield_rt.plane.memory.sealing import DrawerKey, SealedValue, SealedVector
from agentfield_rt.plane.memory.vectors import Search, search
from agentfield_rt.plane.memory.writes import Limits, Row, Write, WriteOutcome
from agentfield_rt.plane.notation import iso, session_id_of
from agentfield_rt.ports import Clock, system_clock

VALUES = Limits(rows_max=10_000, bytes_max=16 * 1024 * 1024)
"""Of one section: listing it answers with all of them."""

VECTORS = Limits(rows_max=10_000, bytes_max=128 * 1024 * 1024)
"""Of one section: a search reads all of them."""

SEARCHES_MAX = 64
"""Searches and lists that wait for one another."""

_PAGE_ROWS = 500

ResultT = TypeVar("ResultT")

_as_change = msgspec.json.Decoder(Change).decode


class Memory:
    """Satisfies `MemoryPort`. Belongs to the event loop it was made on."""

    def __init__(
        self, place: MemoryPlace, content: QueuedContentStore, *, clock: Clock = system_clock
    ) -> None:
        self.feed = Feed()
        self._clock = clock
        self._drawers = Drawers(place, content)
        self._scans = 0

    # Values.

    async def set(self, where: Where, key: str, data: bytes) -> Entry:
        section = where.one()
        check_key(key)
        check_value(data)
        write = await self._drawers.store(
            _values(section),
            SealedValue(key, data),
            at_ns=self._clock(),
            limits=VALUES,
            committed=lambda drawer_key, write: self._announce(
                where, key, data=data, previous=_previous(drawer_key, write)
            ),
        )
        if write.outcome is WriteOutcome.FULL or write.row is None:
            raise _full(section, "values", VALUES)
        return _entry(section, key, data, write.row)

    async def get(self, where: Where, key: str) -> Entry | None:
        check_key(key)
        for section in where.reach():
            drawer_key = await self._drawers.key(_values(section))
            if drawer_key is None:
                continue
            if (row := await self._drawers.load(drawer_key, key)) is not None:
                return _entry(section, key, drawer_key.value(row).data, row)
        return None

    async def delete(self, where: Where, key: str) -> bool:
        section = where.one()
        check_key(key)
        return await self._drawers.delete(
            _values(section),
            key,
            at_ns=self._clock(),
            committed=lambda drawer_key, write: self._announce(
                where, key, data=None, previous=_previous(drawer_key, write)
            ),
        )

    async def entries(self, where: Where) -> list[Entry]:
        section = where.one()
        drawer_key = await self._drawers.key(_values(section))
        if drawer_key is None:
            return []

        def read(place: MemoryPlace) -> list[Entry]:
            rows = ((row, drawer_key.value(row)) for page in _pages(place, drawer_key) for row in page)
            return [_entry(section, value.key, value.data, row) for row, value in rows]

        return sorted(await self._scan(read), key=lambda entry: entry.key)

    # Vectors.

    async def set_vector(
        self, where: Where, key: str, *, embedding: Sequence[float], metadata: Mapping[str, Any]
    ) -> Section:
        section = where.one()
        check_key(key)
        write = await self._drawers.store(
            _vectors(section),
            SealedVector(key, packed_embedding(embedding), metadata_json(metadata)),
            at_ns=self._clock(),
            limits=VECTORS,
        )
        if write.outcome is WriteOutcome.FULL:
            raise _full(section, "vectors", VECTORS)
        return section

    async def delete_vector(self, where: Where, key: str) -> bool:
        check_key(key)
        return await self._drawers.delete(_vectors(where.one()), key, at_ns=self._clock())

    async def search(
        self, where: Where, embedding: Sequence[float], *, top_k: int, filters: Mapping[str, Any]
    ) -> list[Match]:
        section = where.one()
        wanted = Search(embedding=packed_embedding(embedding), top_k=min(top_k, MATCHES_MAX), filters=filters)
        drawer_key = await self._drawers.key(_vectors(section))
        if drawer_key is None or top_k <= 0:
            return []
        found = await self._scan(lambda place: search(_pages(place, drawer_key), drawer_key.vector, wanted))
        return [
            Match(
                key=each.key,
                score=each.score,
                distance=1 - each.score,
                metadata=each.metadata,
                scope=section.scope,
                scope_id=section.scope_id,
                created_at=iso(each.row.created_at_ns / 1e9),
                updated_at=iso(each.row.updated_at_ns / 1e9),
            )
            for each in found
        ]

    # Changes.

    async def changes(self, interest: Interest) -> AsyncIterator[Change]:
        async with self.feed.reading(interest) as reader:
            while True:
                for change in await reader.take():
                    yield _as_change(change.text)

    async def history(
        self, interest: Interest, *, since: str | None = None, limit: int = 100
    ) -> list[Change]:
        return [
            _as_change(change.text) for change in await self.published(interest, since=since, limit=limit)
        ]

    async def published(self, interest: Interest, *, since: str | None, limit: int) -> list[Published]:
        """As `history`, encoded. What was erased meanwhile is not in it."""
        since_ns = None if since is None else nanoseconds(since)
        found = self.feed.history(interest, since_ns=since_ns, limit=min(limit, REMEMBERED_MAX))
        gone = {
            section
            for section in {change.section for change in found}
            if await self._drawers.key(_values(section)) is None
        }
        return [change for change in found if change.section not in gone]

    def _announce(self, where: Where, key: str, *, data: bytes | None, previous: bytes | None) -> None:
        """Called in the order in which writes became durable."""
        section, timestamp = where.one(), iso(self._clock() / 1e9)
        who = {
            "agent_id": where.agent_id,
            "actor_id": where.actor_id,
            "workflow_id": where.workflow_id,
        }
        change = {
            "id": f"mem_{secrets.token_hex(16)}",
            "type": "memory_change",
            "timestamp": timestamp,
            "scope": section.scope,
            "scope_id": section.scope_id,
            "key": key,
            "action": "delete" if data is None else "set",
            "data": None if data is None else msgspec.Raw(data),
            "previous_data": None if previous is None else msgspec.Raw(previous),
            "metadata": {name: value for name, value in who.items() if value},
        }
        # By the clock that readers see, so that `since` a change means after it.
        at_ns = nanoseconds(timestamp)
        self.feed.publish(Published(section, key, at_ns, msgspec.json.encode(change)))

    async def _scan(self, work: Callable[[MemoryPlace], ResultT]) -> ResultT:
        if self._scans >= SEARCHES_MAX:
            raise MemoryAccessError(f"{SEARCHES_MAX} searches wait already; try again later")
        self._scans += 1
        try:
            return await self._drawers.scan(work)
        finally:
            self._scans -= 1

    # The whole.

    async def sweep(self) -> int:
        """Delete some of what nobody can read any more; see `Drawers.sweep`."""
        return await self._drawers.sweep()

    async def close(self) -> None:
        """Store what waits, and release what is held."""
        await self._drawers.close()


def _values(section: Section) -> DrawerName:
    return DrawerName(f"memory/values/{section.scope}/{section.scope_id}", _subject(section))


def _vectors(section: Section) -> DrawerName:
    return DrawerName(f"memory/vectors/{section.scope}/{section.scope_id}", _subject(section))


def _subject(section: Section) -> str:
    """Whom it is about: what a call remembers in its workflow goes when the call is erased."""
    if section.scope is Scope.WORKFLOW:
        return session_id_of(section.scope_id)
    return section.scope_id


def _entry(section: Section, key: str, data: bytes, row: Row) -> Entry:
    return Entry(
        key=key,
        section=section,
        data=data,
        created_at_ns=row.created_at_ns,
        updated_at_ns=row.updated_at_ns,
    )


def _previous(drawer_key: DrawerKey, write: Write) -> bytes | None:
    return None if write.previous is None else drawer_key.value(write.previous).data


def _full(section: Section, what: str, limits: Limits) -> MemoryFull:
    return MemoryFull(
        f"scope {section.scope} is full: it takes {limits.rows_max} {what}, {limits.bytes_max} bytes of them;"
        " delete some"
    )


def _pages(place: MemoryPlace, drawer_key: DrawerKey) -> Iterator[list[Row]]:
    after = b""
    while page := place.page(drawer_key.tag, after=after, limit=_PAGE_ROWS):
        yield page
        after = page[-1].name
