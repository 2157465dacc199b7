"""The journal as its users see it. A store is done when `agentfield_journal.testing` passes on it."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from agentfield_journal.envelope import Cursor, Draft, Envelope


class RunHead(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a run stands: its last acknowledged record and that record's hash."""

    run_id: str
    seq: int
    hash: bytes
    first_at_ns: int
    last_at_ns: int


@runtime_checkable
class RunWriter(Protocol):
    """The one writer of a run, fenced by an epoch that the store checks on every commit."""

    @property
    def run_id(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    @property
    def head(self) -> Cursor:
        """The last record appended, durable or not."""
        ...

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        """Queue `drafts` as one atomic batch and return the cursor of its last record.

        Never blocks and never awaits, so a commit on the event loop needs no lock. Appending a
        record that is already there (same id, same content) returns the first one's cursor. One whose id ends
        in its own seq (`7.42`) is remembered while it is among the last 32, and refused when it is not.

        Raises:
            JournalConflict: the record id is taken by different content, or by content that is not
                remembered; or another writer owns the run.
            BatchTooLarge: the store does not take so many bytes at once, ever; nothing was taken.
            JournalFull: the queue of records not yet durable is at its limit.
            JournalUnavailable: the writer is poisoned by a failed sync, or closed.
        """
        ...

    async def durable(self, cursor: Cursor) -> None:
        """Return once everything up to `cursor` is on stable storage.

        Raises:
            JournalConflict: the store refused this writer's epoch.
            JournalUnavailable: the commit failed; nothing after the last durable record is stored.
        """
        ...

    async def release(self) -> None:
        """Make everything durable and give the run up. Idempotent."""
        ...


@runtime_checkable
class Journal(Protocol):
    """An append-only log of runs. Reads see acknowledged (durable) records only."""

    async def open_run(self, run_id: str) -> RunWriter:
        """Become the one writer of `run_id`, new or old; older writers are refused from then on."""
        ...

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Envelope]:
        """The durable records of a run with `seq` greater than `after`, in order, chain checked.

        Raises:
            JournalCorrupt: carries the first bad `seq`.
        """
        ...

    def subscribe(self, run_id: str, *, after: int = 0) -> AsyncIterator[Envelope]:
        """Every durable record after `after`, then each new one as it becomes durable.

        Never misses, repeats or reorders, however slow the reader; ends when the journal closes.
        """
        ...

    async def heads(self) -> list[RunHead]:
        """All runs, newest first."""
        ...

    async def close(self) -> None:
        """Make everything durable and release what is held. Idempotent."""
        ...
