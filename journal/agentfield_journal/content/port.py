"""The content store as its users see it, and what a place for sealed content must do."""

from typing import Protocol, runtime_checkable

import msgspec

from agentfield_journal.envelope import Retention


@runtime_checkable
class ContentStore(Protocol):
    """Bytes under random refs. A ref says nothing about its content and is safe to journal."""

    def put(self, data: bytes, *, subject: str, retention: Retention) -> str:
        """Take `data` about `subject` (a person or account, as pseudonym) and return its ref.

        Never blocks and never awaits. `get` finds the content at once; it survives a crash once
        `durable(ref)` returned. `ephemeral` content is kept in memory and never written.

        Raises:
            JournalFull: too much content waits for the disk. Nothing was taken.
            JournalUnavailable: the store is closed, or an earlier write failed.
        """
        ...

    async def durable(self, ref: str) -> None:
        """Return once the content of `ref`, and all put before it, is on stable storage."""
        ...

    async def get(self, ref: str) -> bytes:
        """The bytes put under `ref`.

        Raises:
            ContentGone: erased, expired or never stored.
            JournalCorrupt: the stored bytes were altered.
        """
        ...

    async def close(self) -> None:
        """Store what waits and release what is held. Idempotent."""
        ...


class Content(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One piece of content on its way to the store, in the clear."""

    ref: str
    subject: str
    retention: Retention
    at_ns: int
    data: bytes


class ContentPlace(Protocol):
    """Blocking storage of content. `commit` comes from one thread, `load` from another."""

    @property
    def blocking(self) -> bool: ...

    def commit(self, group: list[Content], /) -> list[Content]:
        """Store `group`; durable on return. Refuses nothing."""
        ...

    def tend(self) -> None:
        """Housekeeping when idle."""
        ...

    def load(self, ref: str) -> bytes:
        """The content of `ref`, in the clear; raises what `ContentStore.get` raises."""
        ...

    def close(self) -> None: ...
