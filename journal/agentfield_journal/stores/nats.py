"""Records in a NATS JetStream stream: a subject for each run, a message for each batch. Extra: `nats`.

JetStream acknowledges a message before it is on the disk unless the server is told to sync always, so
a `nats:` journal opens only where the server's monitor says so.
"""

import asyncio
import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
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
from nats.js.errors import APIError, NotFoundError

from agentfield_journal.codec import genesis
from agentfield_journal.errors import JournalConflict, JournalFull, JournalUnavailable
from agentfield_journal.stores.nats_publisher import Outgoing, Publisher
from agentfield_journal.stores.port import Batch, Claim, Page, StoredRow

ResultT = TypeVar("ResultT")

_NO_ROOM = {10023, 10047, 10077}  # insufficient resources, storage, message limits
_FETCH_MESSAGES = 200
_ANSWER_S = 5.0


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

    Raises:
        JournalUnavailable: the server cannot be reached, has no JetStream, or does not sync.
    """

    blocking = True
    shared = True
    full = False

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        parts = urllib.parse.urlsplit(url)
        self._stream = parts.path.strip("/") or "JOURNAL"
        self._read_only = read_only
        self._heads: dict[tuple[str, int], int] = {}
        self._places: dict[str, list[tuple[int, int]]] = {}
        if parts.scheme == "nats":
            _require_sync(urllib.parse.parse_qs(parts.query).get("monitor", [""])[0])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="journal-nats", daemon=True)
        self._thread.start()
        self._client: Client | None = None
        try:
            self._wait(self._connect(f"nats://{parts.netloc}"))
        except BaseException:
            self.close()
            raise

    async def _connect(self, server: str) -> None:
        # Nothing is sent again behind our back: a lost connection poisons the journal instead.
        self._client = Client()
        self._publisher = Publisher(self._client, self._stream, answer_s=_ANSWER_S)
        await self._client.connect(
            server, connect_timeout=5, allow_reconnect=False, closed_cb=self._publisher.lost
        )
        await self._publisher.start()
        self._js = JetStreamContext(self._client, timeout=_ANSWER_S)
        try:
            await self._js.stream_info(self._stream)
        except NotFoundError:
            if self._read_only:
                raise
            subjects = [f"{self._stream}.*"]
            # The library leaves this method's other parameters untyped.
            add_stream = cast(Callable[[StreamConfig], Awaitable[StreamInfo]], self._js.add_stream)
            await add_stream(
                StreamConfig(
                    name=self._stream, subjects=subjects, storage=StorageType.FILE, allow_direct=True
                )
            )

    def _wait(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        with _typed_errors():
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _subject(self, run_id: str) -> str:
        return f"{self._stream}.{run_id.encode().hex() or '_'}"

    async def _last(self, run_id: str) -> tuple[int, Message] | None:
        try:
            found = await self._js.get_last_msg(self._stream, self._subject(run_id))
        except NotFoundError:
            return None
        return found.seq or 0, _decode(found.data or b"")

    def claim(self, run_id: str) -> Claim:
        if self._read_only:
            raise JournalUnavailable("the journal is open for reading only")
        return self._wait(self._claim(run_id))

    async def _claim(self, run_id: str) -> Claim:
        place, last = await self._last(run_id) or (0, Message(0, 0, genesis(run_id), []))
        claim = Message(last.epoch + 1, last.seq, last.hash, [])
        outgoing = Outgoing(self._subject(run_id), _encode(claim), place)
        (acknowledged,) = await self._publisher.publish([outgoing])
        if acknowledged is None:
            raise JournalConflict(f"another process opened run {run_id} at the same moment; open it again")
        self._heads[run_id, claim.epoch] = acknowledged
        return Claim(run=0, epoch=claim.epoch, seq=last.seq, hash=last.hash)

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        by_writer: dict[tuple[str, int], list[Batch]] = {}
        for batch in batches:
            by_writer.setdefault((batch.run_id, batch.epoch), []).append(batch)
        return self._wait(self._commit(by_writer))

    async def _commit(self, by_writer: dict[tuple[str, int], list[Batch]]) -> list[Batch]:
        refused: list[Batch] = []
        waiting = {writer: list(self._messages(batches)) for writer, batches in by_writer.items()}
        while waiting:
            # One message of each run at a time, for the next one must name its place.
            places = await self._publisher.publish(
                [self._outgoing(*writer, messages[0]) for writer, messages in waiting.items()]
            )
            for (writer, messages), place in zip(list(waiting.items()), places, strict=True):
                if place is None:
                    refused += [batch for some in messages for batch in some]
                    messages.clear()
                else:
                    self._heads[writer] = place
                    del messages[0]
                if not messages:
                    del waiting[writer]
        return refused

    def _outgoing(self, run_id: str, epoch: int, batches: list[Batch]) -> Outgoing:
        rows: list[StoredRow] = [row[1:] for batch in batches for row in batch.rows]
        message = Message(epoch, rows[-1][0], rows[-1][2], rows)
        return Outgoing(self._subject(run_id), _encode(message), self._heads.get((run_id, epoch), 0))

    def _messages(self, batches: list[Batch]) -> Generator[list[Batch]]:
        """Batches that fit one message together: what is queued at once may as well be stored as one."""
        limit = (self._client.max_payload if self._client else 1 << 20) - 4_096
        some: list[Batch] = []
        size = 0
        for batch in batches:
            batch_bytes = sum(len(row[2]) + 64 for row in batch.rows)
            if some and size + batch_bytes > limit:
                yield some
                some, size = [], 0
            some.append(batch)
            size += batch_bytes
        yield some

    def tend(self) -> None:
        """The server looks after itself."""

    def page(self, run_id: str, after: int, limit: int) -> Page:
        return self._wait(self._page(run_id, after, limit))

    async def _page(self, run_id: str, after: int, limit: int) -> Page:
        last = await self._last(run_id)
        if last is None or last[1].seq <= after or limit == 0:
            return Page(genesis(run_id), [])
        rows: list[StoredRow] = []
        prev_hash = genesis(run_id)
        places = self._places.setdefault(run_id, [])
        start = max((place for place in places if place[0] < after), default=(0, 1))[1]
        subscription = await self._js.pull_subscribe(
            self._subject(run_id),
            stream=self._stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
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
                    if message.rows and (not places or number > places[-1][1]):
                        places.append((message.rows[0][0] - 1, number))
                    for row in message.rows:
                        if row[0] <= after:
                            prev_hash = row[2]
                        else:
                            rows.append(row)
        finally:
            await subscription.unsubscribe()
        return Page(prev_hash, rows[:limit])

    def ends(self, run_id: str) -> Page:
        return self._wait(self._ends(run_id))

    async def _ends(self, run_id: str) -> Page:
        first = await self._page(run_id, 0, 1)
        last = await self._last(run_id)
        if not first.rows or last is None or last[1].seq == 1:
            return first
        final = await self._page(run_id, last[1].seq - 1, 1)
        return Page(first.prev_hash, first.rows + final.rows)

    def run_ids(self) -> list[str]:
        return self._wait(self._run_ids())

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
        return self._wait(self._changes())

    async def _changes(self) -> int:
        return (await self._js.stream_info(self._stream)).state.last_seq

    def close(self) -> None:
        if self._loop.is_closed():
            return
        if self._client is not None:
            self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _require_sync(monitor: str) -> None:
    """Ask the server's monitor whether it syncs before it acknowledges."""
    hint = (
        "start it with `jetstream { sync_interval: always }` (nats-server 2.10 or newer) and name its"
        " monitor with ?monitor=http://host:8222, or use nats-unsynced: and accept that a power cut may"
        " lose records"
    )
    if not monitor.startswith(("http://", "https://")):
        raise JournalUnavailable(f"nothing shows that this NATS server syncs what it acknowledges: {hint}")
    try:
        with urllib.request.urlopen(f"{monitor.rstrip('/')}/varz", timeout=5) as answer:
            settings = json.load(answer)["jetstream"]["config"]
    except (OSError, ValueError, KeyError) as error:
        raise JournalUnavailable(
            f"the monitor at {monitor} does not tell whether the server syncs"
        ) from error
    if settings.get("sync_always") is not True:
        raise JournalUnavailable(f"this NATS server acknowledges before it syncs: {hint}")


@contextmanager
def _typed_errors() -> Generator[None]:
    try:
        yield
    except APIError as error:
        if error.err_code in _NO_ROOM:
            raise JournalFull("the NATS server has no room; free some and reopen the journal") from error
        raise JournalUnavailable(
            f"the NATS server refused ({error.err_code}); reopen the journal and read before going on"
        ) from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise JournalUnavailable(
            f"the NATS server failed: {type(error).__name__}; reopen the journal and read before going on"
        ) from error
