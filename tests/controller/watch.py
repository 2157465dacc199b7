"""A journal writer and an adapter that watch each other: no call without its durable intent."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from agentfield_adapters.scripted import Method, ScriptedAdapter
from agentfield_journal import Cursor, Draft, JournalError, RunWriter
from agentfield_rt.controller import Windows
from agentfield_rt.core import records
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import OPENS, OperationName
from agentfield_rt.core.records import RECORD_TYPES, Record, WindowTally
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import CloseReason, ProviderError
from agentfield_rt.frames import AudioFrame, InputFrame, Media, OutputAudio, OutputTranscript, ProviderEvent
from agentfield_rt.ports import Connection, ConnectRequest
from tests.forwarding_writer import ForwardingWriter

T = TypeVar("T")


class WatchedWriter(ForwardingWriter):
    """A `RunWriter` that knows what is durable, and that a test can slow down or break.

    Attributes:
        appended: Every record taken so far.
        broke: It failed, and nothing has become durable since.
        durable_state: The fold of the records whose durability somebody has been told of.
        append_faults, durable_faults: Raised by the next calls, one each.
    """

    def __init__(self, inner: RunWriter, session_id: str) -> None:
        super().__init__(inner)
        self._disk_free = asyncio.Event()
        self._disk_free.set()
        self._folded = 0
        self.appended: list[Record] = []
        self.drafts: list[Draft] = []
        self.durable_state = State(session_id=session_id)
        self.durable_openers: list[Record] = []
        self.durable_audio = 0
        self.durable_events = 0
        self.broke = False
        self.append_faults: deque[JournalError] = deque()
        self.durable_faults: deque[JournalError] = deque()

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        if self.append_faults:
            self.broke = True
            raise self.append_faults.popleft()
        cursor = self._inner.append(drafts)
        self.drafts += drafts
        self.appended += [msgspec.msgpack.decode(d.payload, type=RECORD_TYPES[d.kind]) for d in drafts]
        return cursor

    async def durable(self, cursor: Cursor) -> None:
        await self._disk_free.wait()
        if self.durable_faults:
            self.broke = True
            raise self.durable_faults.popleft()
        await self._inner.durable(cursor)
        self.broke = False
        while self._folded < cursor.seq:
            record = self.appended[self._folded]
            self._folded += 1
            self.durable_state = evolve(self.durable_state, record)
            if type(record) in OPENS:
                self.durable_openers.append(record)
            self._account(record)

    def _account(self, record: Record) -> None:
        """Frames and events whose fate is on the disk."""
        match record:
            case records.InputSent(window=WindowTally(frames=frames)):
                self.durable_audio += frames
            case records.InputSendFailed(window=window) | records.InputSendUnknown(window=window):
                self.durable_audio += 1 + (0 if window is None else window.frames)
            case records.OutputReceived(events=events):
                self.durable_events += sum(events.values())
            case records.OutputLate(count=count):
                self.durable_events += count
            case _:
                pass

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
        taken: Audio that the provider took and said so, in order.
    """

    def __init__(
        self,
        scripted: ScriptedAdapter,
        writer: WatchedWriter,
        live: Callable[[], State],
        windows: Windows,
    ) -> None:
        self._scripted = scripted
        self._writer = writer
        self._live = live
        self._windows = windows
        self._audio_asked = 0
        self._events_asked = 0
        self.taken: list[AudioFrame] = []
        self._calls: dict[OperationName, int] = {}
        self._running: list[str] = []
        self._stale: list[ProviderEvent] = []
        self.violations: list[str] = []
        self.emergencies = 0
        self.unanswered: set[str] = set()

    async def connect(self, request: ConnectRequest) -> Connection:
        return await self._watched("connect", None, lambda: self._scripted.connect(request))

    async def send(self, frame: InputFrame) -> None:
        if self._live().phase != "open":
            self.violations.append(f"a frame was sent in phase {self._live().phase}")
        self.unanswered.add(frame.frame_id)
        in_window = isinstance(frame, AudioFrame) and self._windows.frames_max > 1
        try:
            if in_window:
                self._require_window()
                with self._counted("send"):
                    await self._scripted.send(frame)
            else:
                await self._watched("send", frame.frame_id, lambda: self._scripted.send(frame))
        except ProviderError as error:
            if error.not_done:
                self.unanswered.discard(frame.frame_id)
            raise
        self.unanswered.discard(frame.frame_id)
        if isinstance(frame, AudioFrame):
            self.taken.append(frame)

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        if self._windows.events_max is None:
            events = await self._watched("receive", None, lambda: self._scripted.receive(demand=demand))
        else:
            self._require_demand(demand)
            with self._counted("receive"):
                events = await self._scripted.receive(demand=demand)
            self._events_asked += len(events)
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

    async def refer(self, target_uri: str) -> None:
        await self._watched("refer", f"ref.{target_uri}", lambda: self._scripted.refer(target_uri))

    async def reject(self, call_id: str, *, sip_status: int) -> None:
        self.violations.append("a call that rings was refused by a session")

    async def restart(self, request: ConnectRequest) -> Connection:
        return await self._watched("restart", None, lambda: self._scripted.restart(request))

    async def close(self, reason: CloseReason) -> None:
        intents = [r for r in self._writer.durable_openers if isinstance(r, records.CloseRequested)]
        if self._writer.broke and self._calls.get(OperationName.CLOSE, 0) == len(intents):
            self.emergencies += 1  # the journal took no intent, and the microphone must not stay open
            await self._scripted.close(reason)
            return
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

    def _require_window(self) -> None:
        """At every moment a crash would leave a durable intent that covers each frame that flowed."""
        self._audio_asked += 1
        if self._live().unknown:
            self.violations.append("audio was sent while something was in doubt")
        if not any(
            _flows_audio(operation) for operation in self._writer.durable_state.open_operations.values()
        ):
            self.violations.append("audio was sent without an open, durable window")
        unaccounted = self._audio_asked - self._writer.durable_audio
        if unaccounted > self._windows.frames_max:
            self.violations.append(
                f"{unaccounted} frames flowed under a window of {self._windows.frames_max}"
            )

    def _require_demand(self, demand: int) -> None:
        if self._writer.durable_state.open_named(OperationName.RECEIVE) is None:
            self.violations.append("receive was called without an open, durable intent")
        events_max = self._windows.events_max or 0
        outstanding = self._events_asked + demand - self._writer.durable_events
        if outstanding > events_max:
            self.violations.append(f"{outstanding} events were asked for under an intent of {events_max}")

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


def _flows_audio(operation: OpenOperation) -> bool:
    return operation.name is OperationName.SEND and operation.media is Media.AUDIO


def _subject(intent: Record) -> str | None:
    match intent:
        case records.InputSendRequested():
            return intent.frame_id
        case records.InterruptRequested():
            return intent.response_id
        case records.ReferRequested():
            return intent.target_ref
        case _:
            return None
