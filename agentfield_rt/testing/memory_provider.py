"""A provider in memory: takes frames and says what it is told to. Knows no wire format and no faults."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    CallEnded,
    InputFrame,
    OutputAudio,
    OutputTranscript,
    OutputTruncated,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
    ToolResultFrame,
)
from agentfield_rt.items import History
from agentfield_rt.ports import Connection, ConnectRequest

Answer = Callable[[InputFrame, str], Iterable[ProviderEvent]]
"""What the provider says to a frame; the string is an id no response has had yet."""


def silent(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    """Say nothing: events come from the script and from `say` only."""
    return ()


def echo(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    """Answer text and tool outputs with the same text, speak what shall be spoken, ignore audio."""
    match frame:
        case TextFrame(text=text) | ToolResultFrame(output=text):
            utterance_id = None
        case SpeechFrame():
            text, utterance_id = frame.text or frame.instructions or "", frame.utterance_id
        case _:
            return
    yield ResponseStarted(response_id, utterance_id)
    yield OutputTranscript(response_id, f"item_{response_id}", text)
    yield ResponseEnded(response_id, ResponseStatus.COMPLETED)


class MemoryProvider:
    """A `ProviderAdapter` whose every call succeeds at once. Equal calls give equal ids and events.

    Args:
        script: Events it gives as soon as it is connected.
        answer: What it says to each frame; `echo`, `silent`, or a function of yours.

    Attributes:
        got: The frames it took, in order.
        connections_total: How many connections were opened; the last is `conn_N`.
        histories: What new connections were told of the conversation. An answer that is owed is given as to
            a text of the user's.
    """

    def __init__(self, script: Iterable[ProviderEvent] = (), *, answer: Answer = echo) -> None:
        self.got: list[InputFrame] = []
        self.connections_total = 0
        self.histories: list[History] = []
        self._known: frozenset[str] = frozenset()
        self._script = tuple(script)
        self._answer = answer
        self._events: deque[ProviderEvent] = deque()
        self._loss: ConnectionLost | None = None
        self._connected = False
        self._readable = asyncio.Event()
        self._items: dict[str, str | None] = {}
        self._generating: dict[str, None] = {}

    def say(self, *events: ProviderEvent) -> None:
        """Let the provider send `events` now."""
        for event in events:
            match event:
                case ResponseStarted(response_id=response_id):
                    self._generating[response_id] = self._items[response_id] = None
                case ResponseEnded(response_id=response_id):
                    self._generating.pop(response_id, None)
                case OutputAudio() | OutputTranscript():
                    self._items[event.response_id] = event.item_id
                case _:
                    pass
        self._events += events
        self._readable.set()

    def drop(self, loss: ConnectionLost | None = None) -> None:
        """Lose the connection: what was said is still received, then calls raise until a restart."""
        for response_id in list(self._generating):
            self.say(ResponseEnded(response_id, ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST))
        self._connected = False
        self._items.clear()
        self._loss = loss or ConnectionLost("the connection in memory was dropped")
        self._readable.set()

    async def connect(self, request: ConnectRequest) -> Connection:
        if self._connected or (self._loss is not None and not self._loss.retryable):
            raise ProviderError("connected already, or closed", reason=Reason.INVALID_REQUEST)
        self._loss = None
        self._connected = True
        self.connections_total += 1
        self.say(*self._script)
        self._script = ()
        history, connection_id = request.history, f"conn_{self.connections_total}"
        if history is None:
            return Connection(session_id=request.session_id, connection_id=connection_id)
        self.histories.append(history)
        self._known = frozenset(item.item_id for item in history.items)
        if history.answer_owed:
            self.say(*self._answer(TextFrame("owed", "go on"), f"resp_owed_{self.connections_total}"))
        return Connection(
            session_id=request.session_id, connection_id=connection_id, restored=len(history.items)
        )

    async def send(self, frame: InputFrame) -> None:
        self._require_connection()
        if frame.frame_id in self._known:
            return
        self.got.append(frame)
        self.say(*self._answer(frame, f"resp_{len(self.got)}"))

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        while not self._events:
            if self._loss is not None:
                self._require_connection()
            self._readable.clear()
            await self._readable.wait()
        # Nothing is awaited from here on, so a cancelled call has taken no event.
        return tuple(self._events.popleft() for _ in range(min(demand, len(self._events))))

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        self._require_connection()
        if response_id not in self._items:
            raise ProviderError("no such response on this connection", reason=Reason.NOT_FOUND)
        if (item_id := self._items[response_id]) is not None and heard_ms is not None:
            self.say(OutputTruncated(item_id, heard_ms))
        if response_id in self._generating:
            self.say(ResponseEnded(response_id, ResponseStatus.CANCELLED))

    async def restart(self, request: ConnectRequest) -> Connection:
        if self._loss is not None and not self._loss.retryable:
            self._require_connection()
        self.drop()
        if request.history is not None:
            self._forget()
        return await self.connect(request)

    def _forget(self) -> None:
        """What nobody received did not happen, but for the ends of what had begun."""
        unheard = {event.response_id for event in self._events if isinstance(event, ResponseStarted)}
        self._events = deque(
            event
            for event in self._events
            if isinstance(event, CallEnded)
            or (isinstance(event, ResponseEnded) and event.response_id not in unheard)
        )

    async def close(self, reason: CloseReason) -> None:
        self.drop(ConnectionLost("closed", retryable=False))

    def _require_connection(self) -> None:
        if self._loss is not None:
            loss = self._loss
            raise ConnectionLost(str(loss), reason=loss.reason, retryable=loss.retryable)
        if not self._connected:
            raise ProviderError("connect first", reason=Reason.INVALID_REQUEST)
