"""Executions as they begin, move and end, for whoever follows them live: all of them, or one.

Follows the journal's commits, so nobody is told of what may still be lost.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agentfield_journal import StoreJournal
from agentfield_journal.envelope import Envelope
from agentfield_journal.stores.port import Batch
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.plane.catalogue.rows import ExecutionRow
from agentfield_rt.plane.errors import Busy
from agentfield_rt.plane.notation import iso_ns, workflow_id_of
from agentfield_rt.run import decode

READERS_MAX = 64
"""Who follow all executions at once."""

READERS_OF_ONE_MAX = 256
"""Who follow one each, all together."""

REMEMBERED_MAX = 1_024
"""Events that a reader who comes back can still have."""

WAITING_MAX = 1_024
"""Events that wait for a slow reader; with more it is sent away, to come back for the rest."""


_PAGE_RECORDS = 1_000


class _Peek(msgspec.Struct, gc=False):
    kind: str


_peek = msgspec.msgpack.Decoder(_Peek).decode
_envelope = msgspec.msgpack.Decoder(Envelope).decode

_CREATED, _STARTED, _UPDATED = "execution_created", "execution_started", "execution_updated"
_COMPLETED, _FAILED = "execution_completed", "execution_failed"
ENDS = frozenset({_COMPLETED, _FAILED})
"""What the last event of an execution is called."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something became of an execution. `number` counts within this process, `seq` within its run."""

    number: int
    seq: int
    body: dict[str, Any]

    @property
    def is_last(self) -> bool:
        return self.body["type"] in ENDS


_Said = tuple[str, str, str, Reason | None]
"""What an event is called, of which execution, its status, and why."""


def _queued(record: records.ExecutionQueued) -> _Said:
    return _CREATED, record.op_id, "queued" if record.remote else "running", None


def _dispatched(record: records.ExecutionDispatchRequested) -> _Said:
    return _STARTED, record.execution_id, "running", None


def _not_dispatched(record: records.ExecutionNotDispatched) -> _Said:
    return _UPDATED, record.execution_id, "queued", record.reason


def _paused(record: records.ExecutionPaused) -> _Said:
    return _UPDATED, record.execution_id, "waiting", None


def _resumed(record: records.ExecutionResumed) -> _Said:
    return _UPDATED, record.execution_id, "running", None


def _succeeded(record: records.ExecutionSucceeded) -> _Said:
    return _COMPLETED, record.op_id, "succeeded", None


def _failed(record: records.ExecutionFailed) -> _Said:
    status = "timeout" if record.reason is Reason.TIMEOUT else "failed"
    return _FAILED, record.op_id, status, record.reason


def _cancelled(record: records.ExecutionCancelled) -> _Said:
    return _FAILED, record.op_id, "cancelled", Reason.CANCELLED


def _reported(record: records.SubcallReported) -> _Said:
    match record.status:
        case records.ReportedStatus.RUNNING:
            return _STARTED, record.execution_id, record.status, None
        case records.ReportedStatus.SUCCEEDED:
            return _COMPLETED, record.execution_id, record.status, None
        case _:
            return _FAILED, record.execution_id, record.status, None


_SAYS: dict[str, Callable[[Any], _Said]] = {
    records.ExecutionQueued.kind: _queued,
    records.ExecutionDispatchRequested.kind: _dispatched,
    records.ExecutionNotDispatched.kind: _not_dispatched,
    records.ExecutionPaused.kind: _paused,
    records.ExecutionResumed.kind: _resumed,
    records.ExecutionSucceeded.kind: _succeeded,
    records.ExecutionFailed.kind: _failed,
    records.ExecutionCancelled.kind: _cancelled,
    records.SubcallReported.kind: _reported,
}


def event_of(envelope: Envelope, *, number: int = 0) -> Event | None:
    """What a record says became of an execution; None for one that says nothing of the kind."""
    says = _SAYS.get(envelope.kind)
    if says is None:
        return None
    record: Record = decode(envelope)
    name, execution_id, status, reason = says(record)
    workflow_id = workflow_id_of(envelope.run_id)
    body: dict[str, Any] = {
        "type": name,
        "execution_id": execution_id,
        "workflow_id": workflow_id,
        "run_id": workflow_id,
        "agent_node_id": envelope.agent_id,
        "status": status,
        "timestamp": iso_ns(envelope.at_ns),
    }
    if reason is not None:
        body["status_reason"] = reason
    return Event(number, envelope.seq, body)


class ExecutionFeed:
    """Tells readers of executions; see `Catalogue` for what was before."""

    def __init__(self, journal: StoreJournal) -> None:
        self._journal = journal
        self._readers: set[_Reader] = set()
        self._readers_of_one = 0
        self._remembered: deque[Event] = deque(maxlen=REMEMBERED_MAX)
        self._number = 0
        self._listens = False

    def take(self, group: Sequence[Batch]) -> None:
        """Called by the journal with what became durable."""
        for batch in group:
            for _, _, body, _ in batch.rows:
                if _peek(body).kind in _SAYS:
                    self._tell(body)

    def _tell(self, body: bytes) -> None:
        event = event_of(_envelope(body), number=self._number + 1)
        if event is None:
            return
        self._number += 1
        self._remembered.append(event)
        for reader in self._readers:
            reader.take(event)

    def follow(self, *, after: int | None) -> AsyncGenerator[Event]:
        """Every event from now on, or from `after` on as far as it is remembered.

        Ends when the reader is too slow.

        Raises:
            Busy: as many follow as may.
        """
        if len(self._readers) >= READERS_MAX:
            raise Busy(f"{READERS_MAX} readers follow all executions, which is the limit")
        if not self._listens:  # from the first reader on; until then nothing is decoded
            self._listens = True
            self._journal.tell_commits(self.take)
        return self._follow(after)

    async def _follow(self, after: int | None) -> AsyncGenerator[Event]:
        reader = _Reader()
        self._readers.add(reader)
        try:
            if after is not None and after <= self._number:  # a larger one is of an earlier process
                for event in [each for each in self._remembered if each.number > after]:
                    yield event
            async for event in reader:
                yield event
        finally:
            self._readers.discard(reader)

    def follow_one(self, row: ExecutionRow, *, after: int) -> AsyncGenerator[Event]:
        """What becomes of one execution, from the record `after` on, to its end.

        Raises:
            Busy: as many follow as may.
        """
        if self._readers_of_one >= READERS_OF_ONE_MAX:
            raise Busy(f"{READERS_OF_ONE_MAX} readers follow executions, which is the limit")
        return self._follow_one(row, after)

    async def _follow_one(self, row: ExecutionRow, after: int) -> AsyncGenerator[Event]:
        self._readers_of_one += 1
        try:
            if row.ended_at_ns is not None and after > 0 and await self._has_told(row, after):
                return
            async for envelope in self._journal.subscribe(row.run_id, after=max(after, row.seq - 1)):
                event = event_of(envelope)
                if event is not None and event.body["execution_id"] == row.execution_id:
                    yield event
                    if event.is_last:
                        return
        finally:
            self._readers_of_one -= 1

    async def _has_told(self, row: ExecutionRow, after: int) -> bool:
        """Whether an execution that has ended has no event after the record `after`."""
        while page := await self._journal.read(row.run_id, after=after, limit=_PAGE_RECORDS):
            for envelope in page:
                event = event_of(envelope)
                if event is not None and event.body["execution_id"] == row.execution_id:
                    return False
            after = page[-1].seq
        return True


class _Reader:
    """What waits for one reader."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._more = asyncio.Event()
        self._too_slow = False

    def take(self, event: Event) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._too_slow = True
        else:
            self._waiting.append(event)
        self._more.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._too_slow:
                return
            self._more.clear()
            await self._more.wait()
