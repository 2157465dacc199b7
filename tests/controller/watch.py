"""A journal writer and an adapter that watch each other: no call without its durable intent."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from agentfield_adapters.scripted import Method, ScriptedAdapter
from agentfield_journal import Cursor, Draft, JournalError, RunWriter
from agentfield_rt.core import records
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import OPENS, OperationName
from agentfield_rt.core.records import RECORD_TYPES, Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import CloseReason, ProviderError
from agentfield_rt.frames import InputFrame, OutputAudio, OutputTranscript, ProviderEvent
from agentfield_rt.ports import Connection, ConnectRequest

T = TypeVar("T")


class WatchedWriter:
    """A `RunWriter` that knows what is durable, and that a test can slow down or break.

    Attributes:
        appended: Every record taken so far.
        durable_state: The fold of the records whose durability somebody has been told of.
        append_faults, durable_faults: Raised by the next calls, one each.
    """

    def __init__(self, inner: RunWriter, session_id: str) -> None:
        self._inner = inner
        self._disk_free = asyncio.Event()
        self._disk_free.set()
        self._folded = 0
        self.appended: list[Record] = []
        self.drafts: list[Draft] = []
        self.durable_state = State(session_id=session_id)
        self.durable_openers: list[Record] = []
        self.append_faults: deque[JournalError] = deque()
        self.durable_faults: deque[JournalError] = deque()

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
        if self.append_faults:
            raise self.append_faults.popleft()
        cursor = self._inner.append(drafts)
        self.drafts += drafts
        self.appended += [msgspec.msgpack.decode(d.payload, type=RECORD_TYPES[d.kind]) for d in drafts]
        return cursor

    async def durable(self, cursor: Cursor) -> None:
        await self._disk_free.wait()
        if self.durable_faults:
            raise self.durable_faults.popleft()
        await self._inner.durable(cursor)
        while self._folded < cursor.seq:
            record = self.appended[self._folded]
            self._folded += 1
            self.durable_state = evolve(self.durable_state, record)
            if type(record) in OPENS:
                self.durable_openers.append(record)

    async def release(self) -> None:
        await self._inner.release()

    @property
    def disk_is_stuck(self) -> bool:
        return not self._disk_free.is_set()

    def stick(self) -> None:
        """From now on nothing becomes durable."""
        self._disk_free.clear()

    def unstick(self) -> None:
        self._disk_free.set()


class WatchedAdapter:
    """A `ProviderAdapter` in front of a scripted one that notes every call that should not have been made.

    Attributes:
        unanswered: Frames of which nobody but the provider knows whether they arrived.
    """

    def __init__(self, scripted: ScriptedAdapter, writer: WatchedWriter, live: Callable[[], State]) -> None:
        self._scripted = scripted
        self._writer = writer
        self._live = live
        self._calls: dict[OperationName, int] = {}
        self._running: list[str] = []
        self._stale: list[ProviderEvent] = []
        self.violations: list[str] = []
        self.unanswered: set[str] = set()

    async def connect(self, request: ConnectRequest) -> Connection:
        return await self._watched("connect", None, lambda: self._scripted.connect(request))

    async def send(self, frame: InputFrame) -> None:
        if self._live().phase != "open":
            self.violations.append(f"a frame was sent in phase {self._live().phase}")
        self.unanswered.add(frame.frame_id)
        try:
            await self._watched("send", frame.frame_id, lambda: self._scripted.send(frame))
        except ProviderError as error:
            if error.not_done:
                self.unanswered.discard(frame.frame_id)
            raise
        self.unanswered.discard(frame.frame_id)

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        events = await self._watched("receive", None, lambda: self._scripted.receive(demand=demand))
        # Nothing happens between this and the controller's commit.
        responses = self._live().responses
        for event in events:
            if isinstance(event, OutputAudio | OutputTranscript):
                response = responses.get(event.response_id)
                if response is not None and response.interrupted:
                    self._stale.append(event)
        return events

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        await self._watched(
            "interrupt", response_id, lambda: self._scripted.interrupt(response_id, heard_ms=heard_ms)
        )

    async def restart(self, request: ConnectRequest) -> Connection:
        return await self._watched("restart", None, lambda: self._scripted.restart(request))

    async def close(self, reason: CloseReason) -> None:
        if self._running:
            self.violations.append(f"close was called before {', '.join(self._running)} had settled")
        await self._watched("close", None, lambda: self._scripted.close(reason))

    def was_stale(self, event: ProviderEvent) -> bool:
        """Whether the event's response had been interrupted before the event was taken."""
        return any(event is stale for stale in self._stale)

    async def _watched(self, method: Method, subject: str | None, call: Callable[[], Awaitable[T]]) -> T:
        self._require_intent(OperationName(method), subject)
        with self._counted(method):
            return await call()

    @contextmanager
    def _counted(self, method: Method) -> Generator[None]:
        self._running.append(method)
        try:
            yield
        finally:
            self._running.remove(method)

    def _require_intent(self, name: OperationName, subject: str | None) -> None:
        self._calls[name] = self._calls.get(name, 0) + 1
        state = self._writer.durable_state
        intents = [record for record in self._writer.durable_openers if OPENS[type(record)] is name]
        if state.open_named(name) is None:
            self.violations.append(f"{name} was called without an open, durable intent")
        if self._calls[name] > len(intents):
            self.violations.append(f"{name} was called {self._calls[name]} times for {len(intents)} intents")
        if subject is not None and not any(_subject(intent) == subject for intent in intents):
            self.violations.append(f"{name} was called for something that no durable intent names")


def _subject(intent: Record) -> str | None:
    match intent:
        case records.InputSendRequested():
            return intent.frame_id
        case records.InterruptRequested():
            return intent.response_id
        case _:
            return None
