"""The content store as its users see it, and what a place for sealed content must do."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import msgspec

from agentfield_journal.envelope import Retention


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did: refs that hold nothing any more. `tag` names the subject by a keyed hash."""

    tag: str
    refs: list[str]


@runtime_checkable
class ContentStore(Protocol):
    """Bytes under random refs. A ref says when content was put, nothing about it, and is safe to journal."""

    def put(self, data: bytes, *, subject: str, retention: Retention) -> str:
        """Take `data` about `subject` (a person or account, as pseudonym) and return its ref.

        Never blocks and never awaits. `get` finds the content at once; it survives a crash once
        `durable(ref)` returned. `ephemeral` content is kept in memory and never written.

        Raises:
            JournalFull: too much content waits for the disk, or is ephemeral. Nothing was taken.
            JournalUnavailable: the store is closed, or an earlier write failed.
        """
        ...

    async def durable(self, ref: str) -> None:
        """Return once the content of `ref`, and all put before it, is on stable storage.

        Raises:
            JournalUnavailable: it could not be stored, or it is unknown whether it is.
        """
        ...

    async def get(self, ref: str) -> bytes:
        """The bytes put under `ref`.

        Raises:
            ContentGone: erased, expired or never stored.
            JournalCorrupt: the stored bytes were altered.
        """
        ...

    async def erase(self, subject: str) -> Erasure:
        """Destroy the key of `subject` and delete all its content, and say what is gone.

        Repeat it after a crash: it goes on where it stopped, and erasing twice changes nothing.
        """
        ...

    async def expire(self, *, before_ns: Mapping[Retention, int]) -> list[str]:
        """Delete content of each retention class put before that time; return the refs."""
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

    def is_expired(self, before_ns: Mapping[Retention, int]) -> bool:
        """Whether it was put before the time given for its retention class."""
        return self.at_ns < before_ns.get(self.retention, 0)


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

    def tag(self, subject: str) -> str:
        """A subject's name outside the store: a keyed hash in hex."""
        ...

    def mark_for_erasure(self, tag: str) -> Erasure:
        """First phase, durable on return: the content is gone for readers and will be deleted."""
        ...

    def finish_erasures(self) -> list[Erasure]:
        """Second phase, durable on return: destroy keys and bytes of everything marked. Idempotent.

        Returns one for each subject, also for those finished before and not yet forgotten.
        """
        ...

    def forget_erased(self, tag: str) -> None:
        """Last phase, once it is recorded elsewhere what is gone: forget the refs too. Idempotent."""
        ...

    def delete_expired(self, before_ns: Mapping[Retention, int]) -> list[str]:
        """Delete by retention class and age; durable on return."""
        ...

    def load(self, ref: str) -> bytes:
        """The content of `ref`, in the clear; raises what `ContentStore.get` raises."""
        ...

    def close(self) -> None: ...
