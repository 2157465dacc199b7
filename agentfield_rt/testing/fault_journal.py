"""A journal that fails, hangs or crashes when it is told to. Knows calls, not what records mean."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agentfield_journal import (
    Cursor,
    Draft,
    Envelope,
    JournalError,
    JournalFull,
    JournalUnavailable,
    RunHead,
    RunWriter,
    StoreJournal,
)
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch, Claim, Page, Store

Where = Literal["append", "durable"]
"""The two calls of a `RunWriter` that can go wrong."""


class Crashed(BaseException):
    """The process is dead. No code of the runtime may survive this, so it is no `Exception`."""


@dataclass(slots=True, eq=False)
class _Fault:
    """What becomes of one coming call."""

    calls_left: int
    stored: bool
    error: JournalError | None = None
    crash: bool = False


class JournalFaults:
    """The plan: which coming calls go wrong, and how. One plan may serve several writers.

    Attributes:
        appends_total, durables_total: Calls so far; a sweep goes through all of them.
        crashed: Whether the process died. From then on every call raises `Crashed`.
    """

    def __init__(self) -> None:
        self.appends_total = 0
        self.durables_total = 0
        self.crashed = False
        self._planned: dict[Where, list[_Fault]] = {"append": [], "durable": []}
        self._disk_free = asyncio.Event()
        self._disk_free.set()
        self._poison: JournalError | None = None

    def fail(
        self, where: Where, *, nth: int = 1, stored: bool = False, error: JournalError | None = None
    ) -> None:
        """Let the `nth` call from now raise.

        Args:
            stored: The records are stored all the same. An append that does this poisons its writers, like a
                failed sync: open the run again and read. A sync that does it was only too late.
            error: What is raised; `JournalFull` from an append and `JournalUnavailable` otherwise.
        """
        if error is None:
            full = where == "append" and not stored
            error = JournalFull("no room, says the test") if full else JournalUnavailable("says the test")
        self._plan(where, _Fault(nth, stored, error))

    def crash(self, where: Where, *, nth: int = 1, stored: bool = False) -> None:
        """Let the process die in the `nth` call from now: what is not durable then is gone.

        Args:
            stored: Of a sync: it dies just after the records became durable.
        """
        if stored and where == "append":
            raise ValueError("an append stores nothing by itself; crash in a sync with stored=True")
        self._plan(where, _Fault(nth, stored, crash=True))

    def hang(self) -> None:
        """From now on nothing becomes durable."""
        self._disk_free.clear()

    def resume(self) -> None:
        self._disk_free.set()

    @property
    def hangs(self) -> bool:
        return not self._disk_free.is_set()

    def clear(self) -> None:
        """Forget what was planned; a crash stays."""
        self._planned = {"append": [], "durable": []}
        self.resume()

    def die(self) -> None:
        """The process is dead from here on."""
        self.crashed = True

    def append(self, inner: RunWriter, drafts: Sequence[Draft]) -> Cursor:
        """What an append through this plan does."""
        self.appends_total += 1
        fault = self._next("append")
        if fault is not None and not fault.stored:
            self._strike(fault)
        cursor = inner.append(drafts)
        if fault is not None:
            self._poison = fault.error
            self._strike(fault)
        return cursor

    async def durable(self, inner: RunWriter, cursor: Cursor) -> None:
        """What waiting for the disk through this plan does."""
        self.durables_total += 1
        fault = self._next("durable")
        await self._disk_free.wait()
        if fault is not None and not fault.stored:
            self._strike(fault)
        await inner.durable(cursor)
        if fault is not None:
            self._strike(fault)
        self.require_life()

    def require_life(self) -> None:
        if self.crashed:
            raise Crashed("the process is dead")

    def _plan(self, where: Where, fault: _Fault) -> None:
        if fault.calls_left < 1:
            raise ValueError("nth counts from 1, the next call")
        self._planned[where].append(fault)

    def _next(self, where: Where) -> _Fault | None:
        self.require_life()
        if self._poison is not None:
            raise JournalUnavailable(f"an earlier call failed: {self._poison}")
        for fault in self._planned[where]:
            fault.calls_left -= 1
        due = [fault for fault in self._planned[where] if fault.calls_left == 0]
        self._planned[where] = [fault for fault in self._planned[where] if fault.calls_left > 0]
        return due[0] if due else None

    def _strike(self, fault: _Fault) -> None:
        if fault.crash:
            self.die()
            raise Crashed("the process died here")
        assert fault.error is not None
        raise fault.error


class FaultWriter:
    """A `RunWriter` in front of another one, whose calls go as the plan says."""

    def __init__(self, inner: RunWriter, faults: JournalFaults | None = None) -> None:
        self._inner = inner
        self.faults = faults or JournalFaults()

    @property
    def run_id(self) -> str:
        return self._inner.run_id

    @property
    def epoch(self) -> int:
        return self._inner.epoch

    @property
    def head(self) -> Cursor:
        return self._inner.head

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        return self.faults.append(self._inner, drafts)

    async def durable(self, cursor: Cursor) -> None:
        await self.faults.durable(self._inner, cursor)

    async def release(self) -> None:
        self.faults.require_life()
        await self._inner.release()


class FaultJournal:
    """A `Journal` whose writers fail, hang and crash; `reopen` is the next process.

    It commits on the event loop, so it works in virtual time, also over a store that blocks.

    Args:
        store: Where the records are; memory when there is none.

    Attributes:
        faults: The plan.

    Example:
        >>> journal = FaultJournal()
        >>> journal.faults.crash("append", nth=3)
    """

    def __init__(self, store: Store | None = None) -> None:
        self.faults = JournalFaults()
        self._store: Store = MemoryStore() if store is None else store
        self._opened: StoreJournal | None = None

    def reopen(self, store: Store | None = None) -> "FaultJournal":
        """The journal as the next process finds it: what was durable. This one is dead from now on.

        Args:
            store: Another store, where a power cut left less than was written to this one.
        """
        self.faults.die()
        return FaultJournal(store or self._store)

    async def open_run(self, run_id: str) -> FaultWriter:
        return FaultWriter(await self._journal.open_run(run_id), self.faults)

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Envelope]:
        return await self._journal.read(run_id, after=after, limit=limit)

    def subscribe(self, run_id: str, *, after: int = 0) -> AsyncIterator[Envelope]:
        return self._journal.subscribe(run_id, after=after)

    async def heads(self) -> list[RunHead]:
        return await self._journal.heads()

    async def close(self) -> None:
        if self._opened is not None and not self.faults.crashed:
            await self._opened.close()

    @property
    def _journal(self) -> StoreJournal:
        self.faults.require_life()
        if self._opened is None:  # a `StoreJournal` is made on its loop, a `FaultJournal` anywhere
            self._opened = StoreJournal(_MortalStore(self._store, self.faults))
        return self._opened


class _MortalStore:
    """A store that stores nothing any more once the process is dead, and never blocks."""

    blocking = False

    def __init__(self, inner: Store, faults: JournalFaults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def shared(self) -> bool:
        return self._inner.shared

    @property
    def full(self) -> bool:
        return self._inner.full

    @property
    def batch_bytes_max(self) -> int:
        return self._inner.batch_bytes_max

    def claim(self, run_id: str) -> Claim:
        self._faults.require_life()
        return self._inner.claim(run_id)

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        if self._faults.crashed:
            raise JournalUnavailable("the process died before this was stored")
        return self._inner.commit(batches)

    def tend(self) -> None:
        self._inner.tend()

    def page(self, run_id: str, after: int, limit: int) -> Page:
        return self._inner.page(run_id, after, limit)

    def ends(self, run_id: str) -> Page:
        return self._inner.ends(run_id)

    def run_ids(self) -> list[str]:
        return self._inner.run_ids()

    def integrity_problems(self) -> list[str]:
        return self._inner.integrity_problems()

    def changes(self) -> int:
        return self._inner.changes()

    def close(self) -> None:
        self._inner.close()
