"""Records in a NATS JetStream stream: a subject for each run, a message for each batch. Extra: `nats`.

JetStream acknowledges a message before it is on the disk unless the server is told to sync always, so
a `nats:` journal opens only where the server's monitor says so.
"""

import asyncio
import threading
import urllib.parse
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from typing import Any, TypeVar, cast

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    RawStreamMsg,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import NotFoundError

from agentfield_journal.codec import genesis
from agentfield_journal.errors import JournalConflict, JournalUnavailable
from agentfield_journal.stores.leasing import HeldLeases, LeaseTerms
from agentfield_journal.stores.nats_leases import NatsLeases
from agentfield_journal.stores.nats_places import Places, Recent
from agentfield_journal.stores.nats_publisher import Outgoing, Publisher
from agentfield_journal.stores.nats_server import address, require_sync, typed_errors
from agentfield_journal.stores.port import Batch, Claim, Page, StoredRow

ResultT = TypeVar("ResultT")

_FETCH_MESSAGES = 200
_ANSWER_S = 5.0
_CLAIM_TRIES = 3
_FRAME_BYTES = 4_096  # of a message, besides its rows
_RUN_ID_MAX_BYTES = 1_000  # twice that in a subject; a server hangs up on a line of 4 KiB


class Message(msgspec.Struct, frozen=True, array_like=True):
    """What a message holds: the writer's epoch, the run's head after it, and its records (none: a claim)."""

    epoch: int
    seq: int
    hash: bytes
    rows: list[StoredRow]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class NatsStore:
    """A journal in one stream.

    Args:
        url: `nats://host:4222/STREAM?monitor=http://host:8222` where the server syncs always, or
            `nats-unsynced://host:4222/STREAM`, which may lose acknowledged records with the power.
        read_only: Create and write nothing.
        terms: Of the leases that `claim` takes.

    Raises:
        ValueError: the URL names a port that is none.
        JournalUnavailable: the server cannot be reached, has no JetStream, or does not sync.
    """

    blocking = True
    shared = True
    full = False
    batch_bytes_max = 0  # until the server has said how large a message may be

    def __init__(self, url: str, *, read_only: bool = False, terms: LeaseTerms | None = None) -> None:
        self.leases = HeldLeases(terms or LeaseTerms())
        parts = urllib.parse.urlsplit(url)
        self._stream = parts.path.strip("/") or "JOURNAL"
        self._read_only = read_only
        server = address(parts)
        self._heads = Recent[tuple[int, int]]()
        self._places = Recent[Places]()
        if parts.scheme == "nats":
            require_sync(urllib.parse.parse_qs(parts.query).get("monitor", [""])[0])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="journal-nats", daemon=True)
        self._thread.start()
        self._client: Client | None = None
        try:
            self._wait(self._connect(server))
        except BaseException:
            self.close()
            raise

    async def _connect(self, server: str) -> None:
        # Nothing is sent again behind our back: a lost connection poisons the journal instead.
        self._client = Client()
        self._lost = self._loop.create_future()
        self._publisher = Publisher(self._client, self._stream, answer_s=_ANSWER_S)
        await self._client.connect(
            server,
            connect_timeout=5,
            allow_reconnect=False,
            # It tries the first connection again too, and 60 times, and prints each failure.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=_raised_elsewhere,
            closed_cb=self._closed,
        )
        self.batch_bytes_max = self._client.max_payload - _FRAME_BYTES
        await self._publisher.start()
        self._js = JetStreamContext(self._client, timeout=_ANSWER_S)
        try:
            await self._js.stream_info(self._stream)
        except NotFoundError:
            if self._read_only:
                raise JournalUnavailable(f"the NATS server has no stream {self._stream}") from None
            subjects = [f"{self._stream}.*"]
            # The library leaves this method's other parameters untyped.
            add_stream = cast(Callable[[StreamConfig], Awaitable[StreamInfo]], self._js.add_stream)
            await add_stream(
                StreamConfig(
                    name=self._stream, subjects=subjects, storage=StorageType.FILE, allow_direct=True
                )
            )
        self._lease_stream = NatsLeases(self._js, self.leases, self._stream)
        if not self._read_only:
            await self._lease_stream.open()

    async def _closed(self) -> None:
        await self._publisher.lost()
        if not self._lost.done():
            self._lost.set_result(None)

    def _wait(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        with typed_errors():
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _ask(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """As `_wait`, for what the library would wait for in vain when the connection is lost."""
        return self._wait(self._unless_lost(work))

    async def _unless_lost(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, self._lost}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise nats.errors.ConnectionClosedError
        return task.result()

    def _subject(self, run_id: str) -> str:
        return f"{self._stream}.{_name(run_id)}"

    async def _last(self, run_id: str) -> tuple[int, Message] | None:
        try:
            found = await self._js.get_last_msg(self._stream, self._subject(run_id))
        except NotFoundError:
            return None
        return found.seq or 0, _decode(found.data or b"")

    def claim(self, run_id: str) -> Claim:
        if self._read_only:
            raise JournalUnavailable("the journal is open for reading only")
        if len(run_id.encode()) > _RUN_ID_MAX_BYTES:
            raise ValueError(f"a run id in NATS has at most {_RUN_ID_MAX_BYTES} bytes")
        return self._ask(self._claim(run_id))

    async def _claim(self, run_id: str) -> Claim:
        for _ in range(_CLAIM_TRIES):
            asked_s = self.leases.clock_s()
            # Where the run ends is read first: whoever claims it after that makes our claim fail.
            place, last = await self._last(run_id) or (0, Message(0, 0, genesis(run_id), []))
            claim = Message(last.epoch + 1, last.seq, last.hash, [])
            await self._lease_stream.take(run_id, _name(run_id), epoch=claim.epoch)
            outgoing = Outgoing(self._subject(run_id), _encode(claim), place)
            (acknowledged,) = await self._publisher.publish([outgoing])
            if acknowledged is not None:
                self._heads.put(run_id, (claim.epoch, acknowledged))
                self.leases.hold(run_id, claim.epoch, asked_s=asked_s)
                return Claim(run=0, epoch=claim.epoch, seq=last.seq, hash=last.hash)
        raise JournalConflict(f"another writer of run {run_id} is at work; open it again")

    def renew(self) -> None:
        held = {run_id: _name(run_id) for run_id in self.leases.all()}
        if held:
            self._ask(self._lease_stream.renew(held))

    def release(self, runs: Mapping[str, int]) -> None:
        held = {_name(run_id): epoch for run_id, epoch in runs.items() if self.leases.drop(run_id, epoch)}
        if held:
            self._ask(self._lease_stream.release(held))

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        by_writer: dict[tuple[str, int], list[Batch]] = {}
        for batch in batches:
            by_writer.setdefault((batch.run_id, batch.epoch), []).append(batch)
        return self._wait(self._commit(by_writer))

    async def _commit(self, by_writer: dict[tuple[str, int], list[Batch]]) -> list[Batch]:
        refused: list[Batch] = []
        waiting: dict[tuple[str, int], list[list[Batch]]] = {}
        heads: dict[tuple[str, int], int] = {}
        for writer, batches in by_writer.items():
            if (head := await self._head(*writer)) is None:
                refused += batches
            else:
                heads[writer], waiting[writer] = head, list(self._messages(batches))
        while waiting:
            # One message of each run at a time, for the next one must name its place.
            places = await self._publisher.publish(
                [
                    self._outgoing(*writer, messages[0], after=heads[writer])
                    for writer, messages in waiting.items()
                ]
            )
            for (writer, messages), place in zip(list(waiting.items()), places, strict=True):
                if place is None:
                    refused += [batch for some in messages for batch in some]
                    messages.clear()
                else:
                    heads[writer] = place
                    self._heads.put(writer[0], (writer[1], place))
                    del messages[0]
                if not messages:
                    del waiting[writer]
        return refused

    async def _head(self, run_id: str, epoch: int) -> int | None:
        """The number of the run's last message; None if another writer has the run."""
        known = self._heads.get(run_id)
        if known is None:
            number, last = await self._last(run_id) or (0, Message(0, 0, b"", []))
            known = last.epoch, number
        return known[1] if known[0] == epoch else None

    def _outgoing(self, run_id: str, epoch: int, batches: list[Batch], *, after: int) -> Outgoing:
        rows: list[StoredRow] = [row[1:] for batch in batches for row in batch.rows]
        message = Message(epoch, rows[-1][0], rows[-1][2], rows)
        return Outgoing(self._subject(run_id), _encode(message), after)

    def _messages(self, batches: list[Batch]) -> Generator[list[Batch]]:
        """Batches that fit one message together: what is queued at once may as well be stored as one."""
        some: list[Batch] = []
        size = 0
        for batch in batches:
            if some and size + batch.size_bytes > self.batch_bytes_max:
                yield some
                some, size = [], 0
            some.append(batch)
            size += batch.size_bytes
        yield some

    def tend(self) -> None:
        """The server looks after itself."""

    def page(self, run_id: str, after: int, limit: int) -> Page:
        return self._ask(self._page(run_id, after, limit))

    async def _page(self, run_id: str, after: int, limit: int) -> Page:
        last = await self._last(run_id)
        if last is None or last[1].seq <= after or limit == 0:
            return Page(genesis(run_id), [])
        rows: list[StoredRow] = []
        prev_hash = genesis(run_id)
        if (places := self._places.get(run_id)) is None:
            self._places.put(run_id, places := Places())
        subscription = await self._js.pull_subscribe(
            self._subject(run_id),
            stream=self._stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=places.start(after),
                ack_policy=AckPolicy.NONE,
                inactive_threshold=30,
            ),
        )
        try:
            number = 0
            while number < last[0] and len(rows) < limit:
                for found in await subscription.fetch(_FETCH_MESSAGES, timeout=_ANSWER_S):
                    number = found.metadata.sequence.stream
                    message = _decode(found.data)
                    if message.rows:
                        places.note(message.rows[0][0] - 1, number)
                    for row in message.rows:
                        if row[0] <= after:
                            prev_hash = row[2]
                        else:
                            rows.append(row)
        finally:
            await subscription.unsubscribe()
        return Page(prev_hash, rows[:limit])

    def ends(self, run_id: str) -> Page:
        return self._ask(self._ends(run_id))

    async def _ends(self, run_id: str) -> Page:
        last = await self._last(run_id)
        if last is None or last[1].seq == 0:
            return Page(genesis(run_id), [])
        first = (await self._first_rows(self._subject(run_id)))[0]
        if last[1].seq == 1:
            return Page(genesis(run_id), [first])
        # A claim may be the last message: then the last record takes more work to find.
        final = last[1].rows[-1:] or (await self._page(run_id, last[1].seq - 1, 1)).rows
        return Page(genesis(run_id), [first, *final])

    async def _first_rows(self, subject: str) -> list[StoredRow]:
        """The rows of the first message that is no claim; there must be one."""
        place = 0
        while True:
            found = await self._js.get_msg(self._stream, place + 1, subject=subject, next=True)
            place = found.seq or 0
            if rows := _decode(found.data or b"").rows:
                return rows

    def run_ids(self) -> list[str]:
        return self._ask(self._run_ids())

    async def _run_ids(self) -> list[str]:
        info = await self._js.stream_info(self._stream, subjects_filter=">")
        subjects = list(info.state.subjects or {})
        firsts = await asyncio.gather(*(self._first(subject) for subject in subjects))
        lasts = await asyncio.gather(*(self._js.get_last_msg(self._stream, subject) for subject in subjects))
        found = [
            (first.seq or 0, subject.removeprefix(f"{self._stream}."))
            for first, last, subject in zip(firsts, lasts, subjects, strict=True)
            if _decode(last.data or b"").seq
        ]
        return [
            bytes.fromhex("" if name == "_" else name).decode() for _, name in sorted(found, reverse=True)
        ]

    async def _first(self, subject: str) -> RawStreamMsg:
        return await self._js.get_msg(self._stream, 1, subject=subject, next=True)

    def integrity_problems(self) -> list[str]:
        return []

    def changes(self) -> int:
        return self._ask(self._changes())

    async def _changes(self) -> int:
        return (await self._js.stream_info(self._stream)).state.last_seq

    def close(self) -> None:
        if self._loop.is_closed():
            return
        try:
            if self._client is not None:
                with suppress(JournalUnavailable):
                    self.release(self.leases.all())
                self._wait(self._disconnect(self._client))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _disconnect(self, client: Client) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await client.close()
        finally:
            # The library leaves its socket open where the server is gone before the last of it is flushed.
            if (transport := client._transport) is not None:  # pyright: ignore[reportPrivateUsage]
                transport.close()  # type: ignore[no-untyped-call]
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)  # what was closed and cancelled ends in the loop's next step


async def _raised_elsewhere(error: Exception) -> None:
    """Whoever waits for an answer gets an error; the library would print one as well."""


def _name(run_id: str) -> str:
    """A run's part of its subject."""
    return run_id.encode().hex() or "_"
