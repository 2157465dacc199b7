"""The content store over any place: queue, group commit, reads; and the place in memory. Knows no files."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agentfield_journal.content.port import Content, ContentPlace, Erasure
from agentfield_journal.content.seal import MasterKey, new_key
from agentfield_journal.drawing import drawn_urlsafe
from agentfield_journal.envelope import Retention
from agentfield_journal.errors import ContentGone, JournalError, JournalFull, JournalUnavailable
from agentfield_journal.group import GroupCommit

ResultT = TypeVar("ResultT")

_QUEUED_BYTES_MAX = 64 << 20
_EPHEMERAL_BYTES_MAX = 64 << 20


def _new_ref(at_ns: int) -> str:
    """A ref that nobody guesses. It begins with the millisecond, which its record says too: refs that are
    stored together then lie together in their index, and a group writes a page of it instead of one each.
    """
    return f"content.{at_ns // 1_000_000:011x}{drawn_urlsafe(26)}"


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
        self._ephemeral: dict[str, Content] = {}
        self._ephemeral_bytes = 0
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._closing: asyncio.Task[None] | None = None
        self._readers = ThreadPoolExecutor(1, "content-reader") if place.blocking else None
        self._group = GroupCommit[Content](place, self, deadline_s=deadline_s)

    def put(self, data: bytes, *, subject: str, retention: Retention) -> str:
        self._require_usable()
        at_ns = self._clock_ns()
        ref = _new_ref(at_ns)
        content = Content(ref=ref, subject=subject, retention=retention, at_ns=at_ns, data=data)
        if retention is Retention.EPHEMERAL:
            self._keep_ephemeral(content)
            return ref
        if self._queued_bytes + len(data) > _QUEUED_BYTES_MAX:
            raise JournalFull(
                "too much content waits for the disk; this piece was not taken, try again later"
            )
        self._queued[ref] = content
        self._queued_bytes += len(data)
        self._group.submit(content)
        return ref

    def _keep_ephemeral(self, content: Content) -> None:
        if self._ephemeral_bytes + len(content.data) > _EPHEMERAL_BYTES_MAX:
            raise JournalFull(
                "too much ephemeral content is kept; this piece was not taken, forget some or expire it"
            )
        self._ephemeral[content.ref] = content
        self._ephemeral_bytes += len(content.data)

    def forget_ephemeral(self, ref: str) -> None:
        """Drop ephemeral content that is no longer needed. Unknown refs are ignored."""
        if (content := self._ephemeral.pop(ref, None)) is not None:
            self._ephemeral_bytes -= len(content.data)

    def _forget_where(self, condition: Callable[[Content], bool]) -> list[str]:
        refs = [ref for ref, content in self._ephemeral.items() if condition(content)]
        for ref in refs:
            self.forget_ephemeral(ref)
        return refs

    async def durable(self, ref: str) -> None:
        if ref not in self._queued:
            return
        self._require_usable()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(ref, []).append(waiter)
        await waiter

    async def get(self, ref: str) -> bytes:
        if (here := self._ephemeral.get(ref) or self._queued.get(ref)) is not None:
            return here.data
        self._require_open()
        return await self._reading(lambda: self._place.load(ref))

    async def _reading(self, job: Callable[[], ResultT]) -> ResultT:
        if self._readers is None:
            return job()
        call = asyncio.get_running_loop().run_in_executor(self._readers, job)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await call
        except TimeoutError:
            raise JournalUnavailable(
                f"the content store did not answer within {self._deadline_s} s"
            ) from None

    def tag(self, subject: str) -> str:
        """The keyed hash that names `subject` in erasures."""
        return self._place.tag(subject)

    async def erase(self, subject: str) -> Erasure:
        tag = self.tag(subject)
        erasure = await self.erase_tagged(tag)
        await self.forget_erased(tag)
        return erasure

    async def erase_tagged(self, tag: str) -> Erasure:
        """As `erase`, but the refs are remembered until `forget_erased`, so that a crash loses none."""
        self._require_usable()
        forgotten = self._forget_where(lambda content: self.tag(content.subject) == tag)
        marked = await self._group.run(lambda: self._place.mark_for_erasure(tag))
        done = await self._group.run(self._place.finish_erasures)
        erased = next((erasure for erasure in done if erasure.tag == tag), marked)
        return Erasure(tag=tag, refs=[*erased.refs, *forgotten])

    async def unfinished_erasures(self) -> list[Erasure]:
        """Finish what a crash interrupted, so that it can be journaled; empty in ordinary life."""
        self._require_usable()
        return await self._group.run(self._place.finish_erasures)

    async def forget_erased(self, tag: str) -> None:
        """It is recorded what was erased of the subject with this tag: forget the refs."""
        self._require_usable()
        await self._group.run(lambda: self._place.forget_erased(tag))

    async def expire(self, *, before_ns: Mapping[Retention, int]) -> list[str]:
        self._require_usable()
        forgotten = self._forget_where(lambda content: content.is_expired(before_ns))
        return forgotten + await self._group.run(lambda: self._place.delete_expired(before_ns))

    async def close(self) -> None:
        # One task for all who close, and shielded: whoever gives up waiting must not leave the lock held.
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="content-close")
        if not self._closing.done():
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            # A place that does not answer is left alone, with its lock: it may still be writing.
            await self._group.close()
        finally:
            self._wake(JournalUnavailable("the content store is closed"))
            self._ephemeral.clear()
        try:
            await self._reading(self._place.close)
        finally:
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
        """Called by the group commit: nothing more will be stored.

        What is queued stays there: by that `durable` knows ever after that it was lost.
        """
        self._wake(failure)

    def late(self) -> None:
        """Called by the group commit: those who wait are told that the outcome is unknown."""
        self._wake(JournalUnavailable(f"the content store has not answered for {self._deadline_s} s"))

    def _wake(self, error: JournalError) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in [waiter for waiting in waiters.values() for waiter in waiting]:
            if not waiter.done():
                waiter.set_exception(JournalUnavailable(str(error)))

    def _require_open(self) -> None:
        if self._closing is not None:
            raise JournalUnavailable("the content store is closed")

    def _require_usable(self) -> None:
        self._require_open()
        if (failure := self._group.failure) is not None:
            raise JournalUnavailable(str(failure)) from failure


class MemoryContent:
    """Content in a process's memory, in the clear: it is gone when the process ends."""

    blocking = False

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}
        self._names = MasterKey(new_key())

    def tag(self, subject: str) -> str:
        return self._names.tag(subject).hex()

    def commit(self, group: list[Content], /) -> list[Content]:
        self._contents.update((content.ref, content) for content in group)
        return []

    def tend(self) -> None:
        """Nothing to do."""

    def mark_for_erasure(self, tag: str) -> Erasure:
        refs = [ref for ref, content in self._contents.items() if self.tag(content.subject) == tag]
        self._delete(refs)
        return Erasure(tag=tag, refs=refs)

    def finish_erasures(self) -> list[Erasure]:
        return []

    def forget_erased(self, tag: str) -> None:
        """They went when they were marked."""

    def delete_expired(self, before_ns: Mapping[Retention, int]) -> list[str]:
        refs = [ref for ref, content in self._contents.items() if content.is_expired(before_ns)]
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
