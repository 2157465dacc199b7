"""The one writer of a run: gives records their place and their hash, and waits for the disk.

Knows the record bytes and the engine's queue, nothing of where records are kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agentfield_journal import codec
from agentfield_journal.codec import Seen
from agentfield_journal.envelope import Cursor, Draft
from agentfield_journal.errors import JournalConflict, JournalError, JournalUnavailable, another
from agentfield_journal.remembered import NEWEST_MIN, Remembered
from agentfield_journal.stores.port import ROW_BYTES, Batch, Claim, Row


class StoreRunWriter:
    """Implements `RunWriter` over an engine. Use it on the event loop that opened the journal.

    Args:
        claim: What the store said when the run was claimed.
        seen: The records already in the run.
        submit: Queues a batch, told whether it only closes what is open; raises what `append` raises,
            and then nothing was taken.
        forget: Tells the engine that this writer is done.
    """

    def __init__(
        self,
        run_id: str,
        claim: Claim,
        *,
        seen: Remembered,
        submit: Callable[[Batch, bool], None],
        forget: Callable[["StoreRunWriter"], None],
    ) -> None:
        self._run_id = run_id
        self._run = claim.run
        self._epoch = claim.epoch
        self._seq = claim.seq
        self._hash = claim.hash
        self._durable_seq = claim.seq
        self._seen = seen
        self._submit = submit
        self._forget = forget
        self._begins = claim.begins
        self._record_head = codec.record_head(run_id, claim.epoch)
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []  # an empty deque takes 760 bytes
        self._failure: JournalError | None = None
        self._released = False
        self.after_release: Callable[[], Awaitable[None]] | None = None

    @property
    def run_id(self) -> str:
        return self._run_id

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def head(self) -> Cursor:
        return Cursor(self._run_id, self._seq)

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        if self._failure is not None or self._released:
            self._require_usable()
        if not drafts:
            raise ValueError("append needs at least one record")
        seen, run, record_head = self._seen, self._run, self._record_head
        newest, others, has_old = seen.newest, seen.others, bool(seen.ranges)
        seq, digest = self._seq, self._hash
        rows: list[Row] = []
        fresh: dict[str, Seen] = {}
        closes = True
        size_bytes = 0
        for draft in drafts:
            part = codec.encode_draft(draft)
            record_id = draft.record_id
            seq += 1
            if (
                record_id in newest
                or record_id in fresh
                or record_id in others
                # One that ends in the place it gets is in no range: they are all behind it.
                or (has_old and not record_id.endswith(f".{seq}") and seen.is_in_a_range(record_id))
            ):
                return self._append_again(drafts)
            body = b"".join((record_head, seq.to_bytes(8, "big"), part))
            digest = codec.link(body, digest)
            rows.append((run, seq, body, digest))
            size_bytes += len(body) + ROW_BYTES
            fresh[record_id] = Seen(seq, hash(part))
            if draft.request_record_id is None:
                closes = False
        self._submit(Batch(self._run_id, self._epoch, rows, size_bytes, self._begins), closes)
        self._begins = False
        if len(newest) >= 2 * NEWEST_MIN:
            seen.forget_old(durable_seq=self._durable_seq)
        newest |= fresh
        self._seq, self._hash = seq, digest
        return Cursor(self._run_id, seq)

    def _append_again(self, drafts: Sequence[Draft]) -> Cursor:
        last = 0
        for draft in drafts:
            known = self._seen.get(draft.record_id)
            if known is None and self._seen.is_in_a_range(draft.record_id):
                raise JournalConflict(
                    f"run {self._run_id}: the batch repeats a record that was appended long ago; read it to"
                    " see whether it is the same. Nothing of the batch was taken"
                )
            if known is None or known.draft_hash != hash(codec.encode_draft(draft)):
                raise JournalConflict(
                    f"run {self._run_id}: the batch repeats a record id with different content,"
                    " or only part of it is new; nothing of it was taken"
                )
            last = max(last, known.seq)
        return Cursor(self._run_id, last)

    async def durable(self, cursor: Cursor) -> None:
        if cursor.run_id != self._run_id or not 0 <= cursor.seq <= self._seq:
            raise ValueError(
                f"{cursor} of run {cursor.run_id} was not appended by the writer of {self._run_id}"
            )
        if cursor.seq <= self._durable_seq:
            return
        if self._failure is not None:
            self._require_usable()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((cursor.seq, waiter))
        await waiter

    async def release(self) -> None:
        if self._released:
            if self._failure is None:
                await self.durable(self.head)
            return
        self._released = True
        try:
            await self.durable(self.head)
        finally:
            self._forget_when_done()
            if self.after_release is not None:
                await self.after_release()

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is on stable storage. Called by the engine, on the loop."""
        self._durable_seq = seq
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for wanted, waiter in waiters:
                if wanted > seq:
                    self._waiters.append((wanted, waiter))
                elif not waiter.done():
                    waiter.set_result(None)
        if self._released:
            self._forget_when_done()

    def _forget_when_done(self) -> None:
        """A wait for the last records may have been given up; others may wait for them still."""
        if self._failure is not None or self._durable_seq == self._seq:
            self._forget(self)

    def fail(self, failure: JournalError) -> None:
        """Nothing more of this writer will be stored. Called by the engine, on the loop."""
        self._failure = self._failure or failure
        self.wake_waiters(failure)
        self._forget(self)

    def wake_waiters(self, error: JournalError) -> None:
        """Tell those who wait that they will not hear in time. Called by the engine, on the loop."""
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            if not waiter.done():
                waiter.set_exception(another(error))

    def _require_usable(self) -> None:
        if self._failure is not None:
            raise another(self._failure) from self._failure
        if self._released:
            raise JournalUnavailable(f"the writer of run {self._run_id} was released; open the run again")
