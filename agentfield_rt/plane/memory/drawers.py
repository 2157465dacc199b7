"""Sealed drawers over any place: their keys in the content store, group commit, reads. Knows no scope.

The key of a drawer is content about whom the drawer is about. So whatever erases that content, here or in
another process, erases the drawer, wherever its rows are; nobody has to be told.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from agentfield_journal import ContentGone, JournalError, JournalUnavailable, QueuedContentStore, Retention
from agentfield_journal.content.seal import new_key
from agentfield_journal.errors import another
from agentfield_journal.group import GroupCommit
from agentfield_rt.memory import MemoryAccessError
from agentfield_rt.plane.memory.place import MemoryPlace
from agentfield_rt.plane.memory.sealing import DrawerKey, SealedValue, SealedVector
from agentfield_rt.plane.memory.writes import Limits, Row, Write, WriteOutcome

ResultT = TypeVar("ResultT")

DEADLINE_S = 5.0
WAITING_MAX = 10_000
"""Writes that wait for the disk."""

TRIES_MAX = 5
"""How often a write is sealed anew because its drawer was erased meanwhile."""

_SWEPT_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class DrawerName:
    """Which drawer: `label` names it, `subject` is whom it is about."""

    label: str
    subject: str


Committed = Callable[[DrawerKey, Write], None]
"""Told of a write that changed something once it is durable, in the order in which they did."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Who waits for a write. Whether somebody still does or not, a change is told of."""

    key: DrawerKey
    done: asyncio.Future[None]
    committed: Committed | None


class Drawers:
    """Belongs to the event loop it was made on."""

    def __init__(self, place: MemoryPlace, content: QueuedContentStore) -> None:
        self._place = place
        self._content = content
        self._waiting: dict[Write, _Waiting] = {}
        self._readers = ThreadPoolExecutor(1, "memory-reader") if place.blocking else None
        self._scanners = ThreadPoolExecutor(1, "memory-scanner") if place.blocking else None
        self._group = GroupCommit[Write](place, self, deadline_s=DEADLINE_S)
        self._swept = b""

    # Keys.

    async def key(self, drawer: DrawerName) -> DrawerKey | None:
        """What a drawer is sealed with; None when there is none, or whom it is about was erased."""
        tag = bytes.fromhex(self._content.tag(drawer.label))
        ref = await self._reading(lambda: self._place.key_ref(tag))
        if ref is None:
            return None
        try:
            return DrawerKey(await self._content.get(ref), tag=tag, ref=ref)
        except ContentGone:
            await self._group.run(partial(self._place.drop, tag, ref))
            return None

    async def _key_to_write(self, drawer: DrawerName) -> DrawerKey:
        for _ in range(TRIES_MAX):
            if (key := await self.key(drawer)) is not None:
                return key
            tag = bytes.fromhex(self._content.tag(drawer.label))
            ref = self._content.put(new_key(), subject=drawer.subject, retention=Retention.DURABLE)
            await self._content.durable(ref)
            await self._group.run(partial(self._place.open_drawer, tag, ref))
        raise MemoryAccessError("this part of memory is being erased again and again; try later")

    # Rows.

    async def store(
        self,
        drawer: DrawerName,
        content: SealedValue | SealedVector,
        *,
        at_ns: int,
        limits: Limits,
        committed: Committed | None = None,
    ) -> Write:
        """Put something into a drawer; durable on return. The outcome is `DONE` or `FULL`."""
        for _ in range(TRIES_MAX):
            key = await self._key_to_write(drawer)
            name, sealed = key.name(content.key), key.seal(content)
            write = Write(key.tag, key.ref, name, sealed, at_ns, limits)
            await self._commit(write, key, committed)
            if write.outcome is not WriteOutcome.STALE:
                return write
        raise MemoryAccessError("this part of memory is being erased again and again; try later")

    async def delete(
        self, drawer: DrawerName, key_text: str, *, at_ns: int, committed: Committed | None = None
    ) -> bool:
        """Take something out of a drawer; durable on return. Whether there was something."""
        key = await self.key(drawer)
        if key is None:
            return False
        write = Write(key.tag, key.ref, key.name(key_text), None, at_ns, Limits(0, 0))
        await self._commit(write, key, committed)
        return write.outcome is WriteOutcome.DONE

    async def _commit(self, write: Write, key: DrawerKey, committed: Committed | None) -> None:
        if self._group.failure is not None:
            raise another(self._group.failure)
        if len(self._waiting) >= WAITING_MAX:
            raise MemoryAccessError(f"{WAITING_MAX} changes of memory wait for the disk; try again later")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[write] = _Waiting(key, done, committed)
        self._group.submit(write)
        await done

    async def load(self, key: DrawerKey, key_text: str) -> Row | None:
        """What is in the drawer under a key."""
        return await self._reading(lambda: self._place.load(key.tag, key.name(key_text)))

    async def scan(self, work: Callable[[MemoryPlace], ResultT]) -> ResultT:
        """Do what reads a whole drawer, one after the other, while single values are read beside it."""
        if self._scanners is None:
            return work(self._place)
        return await asyncio.get_running_loop().run_in_executor(self._scanners, work, self._place)

    async def _reading(self, job: Callable[[], ResultT]) -> ResultT:
        if self._readers is None:
            return job()
        call = asyncio.get_running_loop().run_in_executor(self._readers, job)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await call
        except TimeoutError:
            raise JournalUnavailable(f"memory did not answer within {DEADLINE_S} s") from None

    # What is no longer needed.

    async def sweep(self) -> int:
        """Delete some drawers whose keys are gone: nobody can read them. Called again, it looks at others."""
        after = self._swept
        page = await self._reading(lambda: self._place.drawers(after=after, limit=_SWEPT_AT_ONCE))
        self._swept = page[-1][0] if len(page) == _SWEPT_AT_ONCE else b""
        dropped = 0
        for tag, ref in page:
            try:
                await self._content.get(ref)
            except ContentGone:
                await self._group.run(partial(self._place.drop, tag, ref))
                dropped += 1
        return dropped

    async def close(self) -> None:
        """Store what waits, and release what is held."""
        try:
            await self._group.close()
        finally:
            self.failed(JournalUnavailable("memory is closed"))
            for readers in (self._readers, self._scanners):
                if readers is not None:
                    readers.shutdown(wait=False)
        if self._place.blocking:
            await asyncio.to_thread(self._place.close)

    # `GroupListener`.

    def committed(self, group: list[Write], refused: list[Write]) -> None:
        for write in group:
            waiting = self._waiting.pop(write, None)
            if waiting is None:
                continue
            if write.error is not None:
                _fail(waiting, write.error)
                continue
            if write.outcome is WriteOutcome.DONE and waiting.committed is not None:
                waiting.committed(waiting.key, write)
            if not waiting.done.done():
                waiting.done.set_result(None)

    def failed(self, failure: JournalError) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            _fail(each, failure)

    def late(self) -> None:
        for waiting in self._waiting.values():
            _fail(waiting, JournalUnavailable(f"memory has not answered for {DEADLINE_S} s"))


def _fail(waiting: _Waiting, error: JournalError) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(another(error))
