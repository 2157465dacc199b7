"""The content store over any place: queue, group commit, reads. Knows neither files nor ciphers."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from agentfield_journal.content.port import Content, ContentPlace, Erasure
from agentfield_journal.envelope import Retention
from agentfield_journal.errors import ContentGone, JournalError, JournalFull, JournalUnavailable
from agentfield_journal.group import GroupCommit

_QUEUED_BYTES_MAX = 64 << 20


class QueuedContentStore:
    """Implements `ContentStore` over a `ContentPlace`. Belongs to the event loop it was made on."""

    def __init__(
        self, place: ContentPlace, *, deadline_s: float = 5.0, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._place = place
        self._deadline_s = deadline_s
        self._clock_ns = clock_ns
        self._queued: dict[str, Content] = {}
        self._queued_bytes = 0
        self._ephemeral: dict[str, bytes] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._closed = False
        self._readers = ThreadPoolExecutor(1, "content-reader") if place.blocking else None
        self._group = GroupCommit[Content](place, self, deadline_s=deadline_s)

    def put(self, data: bytes, *, subject: str, retention: Retention) -> str:
        self._require_usable()
        ref = "content." + secrets.token_urlsafe(32)
        if retention is Retention.EPHEMERAL:
            self._ephemeral[ref] = data
            return ref
        if self._queued_bytes + len(data) > _QUEUED_BYTES_MAX:
            raise JournalFull(
                "too much content waits for the disk; this piece was not taken, try again later"
            )
        content = Content(ref=ref, subject=subject, retention=retention, at_ns=self._clock_ns(), data=data)
        self._queued[ref] = content
        self._queued_bytes += len(data)
        self._group.submit(content)
        return ref

    def forget_ephemeral(self, ref: str) -> None:
        """Drop ephemeral content that is no longer needed. Unknown refs are ignored."""
        self._ephemeral.pop(ref, None)

    async def durable(self, ref: str) -> None:
        if ref not in self._queued:
            return
        self._require_usable()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(ref, []).append(waiter)
        await waiter

    async def get(self, ref: str) -> bytes:
        if ref in self._ephemeral:
            return self._ephemeral[ref]
        if (queued := self._queued.get(ref)) is not None:
            return queued.data
        if self._closed:
            raise JournalUnavailable("the content store is closed")
        if self._readers is None:
            return self._place.load(ref)
        call = asyncio.get_running_loop().run_in_executor(self._readers, self._place.load, ref)
        try:
            return await asyncio.wait_for(call, self._deadline_s)
        except TimeoutError:
            raise JournalUnavailable(
                f"the content store did not answer within {self._deadline_s} s"
            ) from None

    async def erase(self, subject: str) -> Erasure:
        marked = await self._group.run(lambda: self._place.mark_for_erasure(subject))
        done = await self._group.run(self._place.finish_erasures)
        return next((erasure for erasure in done if erasure.tag == marked.tag), marked)

    async def unfinished_erasures(self) -> list[Erasure]:
        """Finish what a crash interrupted, so that it can be journaled; empty in ordinary life."""
        return await self._group.run(self._place.finish_erasures)

    async def expire(self, *, before_ns: Mapping[Retention, int]) -> list[str]:
        return await self._group.run(lambda: self._place.delete_expired(before_ns))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._group.close()
        self._ephemeral.clear()
        self._place.close()
        if self._readers is not None:
            self._readers.shutdown(wait=False)

    def committed(self, group: list[Content], refused: list[Content]) -> None:
        """Called by the group commit: the pieces can be read from the place now."""
        for content in group:
            del self._queued[content.ref]
            self._queued_bytes -= len(content.data)
            for waiter in self._waiters.pop(content.ref, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def failed(self, failure: JournalError) -> None:
        """Called by the group commit: nothing more will be stored."""
        self._queued.clear()
        self._queued_bytes = 0
        self._wake(failure)

    def late(self) -> None:
        """Called by the group commit: those who wait are told that the outcome is unknown."""
        self._wake(JournalUnavailable(f"the content store has not answered for {self._deadline_s} s"))

    def _wake(self, error: JournalError) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in [waiter for waiting in waiters.values() for waiter in waiting]:
            if not waiter.done():
                waiter.set_exception(JournalUnavailable(str(error)))

    def _require_usable(self) -> None:
        if self._closed:
            raise JournalUnavailable("the content store is closed")
        if (failure := self._group.failure) is not None:
            raise JournalUnavailable(str(failure)) from failure


class MemoryContent:
    """Content in a process's memory, in the clear: it is gone when the process ends."""

    blocking = False

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}

    def commit(self, group: list[Content], /) -> list[Content]:
        self._contents.update((content.ref, content) for content in group)
        return []

    def tend(self) -> None:
        """Nothing to do."""

    def mark_for_erasure(self, subject: str) -> Erasure:
        refs = [ref for ref, content in self._contents.items() if content.subject == subject]
        self._delete(refs)
        return Erasure(tag=sha256(subject.encode()).hexdigest(), refs=refs)

    def finish_erasures(self) -> list[Erasure]:
        return []

    def delete_expired(self, before_ns: Mapping[Retention, int]) -> list[str]:
        refs = [
            ref
            for ref, content in self._contents.items()
            if content.at_ns < before_ns.get(content.retention, 0)
        ]
        self._delete(refs)
        return refs

    def _delete(self, refs: list[str]) -> None:
        for ref in refs:
            del self._contents[ref]

    def load(self, ref: str) -> bytes:
        try:
            return self._contents[ref].data
        except KeyError:
            raise ContentGone(f"{ref} is not in this store", reason="unknown") from None

    def close(self) -> None:
        self._contents.clear()
