"""The scripted adapter itself: the reference for the port, deterministic, in memory. Knows no wire format."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from agentfield_adapters.event_buffer import EventBuffer, fresh
from agentfield_adapters.scripted.calls import Argument, Call, Hold, Interruption, Method, Outcome, Verdict
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
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
from agentfield_rt.ports import Connection, ConnectRequest

T = TypeVar("T")
Answer = Callable[[InputFrame, str], Iterable[ProviderEvent]]
"""What the provider says to a frame; the string is an id no response has had yet."""

_EVENTS_MAX = 100_000
_NEVER_OVERLAPPING: frozenset[Method] = frozenset({"connect", "send", "receive", "restart", "refer"})
_AT_ONCE = Verdict(acts=True)


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


def silent(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    """Answer nothing: events come from the script and from `give` only."""
    return ()


class ScriptedAdapter:
    """A `ProviderAdapter` and `PhoneAdapter` whose every answer a test can hold, fail or lose.

    Unheld calls succeed at once. The same calls in the same order give the same ids and events.

    Args:
        script: Events the provider gives as soon as it is connected.
        answer: What it gives for each frame sent; `echo` or `silent`, or a function of your own.

    Attributes:
        calls: Every call so far, in order of arrival.

    Example:
        >>> adapter = ScriptedAdapter()
        >>> answer = adapter.hold("send")     # the next send waits …
        >>> answer.lose()                     # … and then nobody knows whether it arrived
    """

    def __init__(self, script: Iterable[ProviderEvent] = (), *, answer: Answer = echo) -> None:
        self.calls: list[Call] = []
        self._tag = secrets.token_hex(4)  # a session that outlives a process never sees the same name twice
        self._script = tuple(script)
        self._answer = answer
        self._buffer = EventBuffer(events_max=_EVENTS_MAX)
        self._holds: dict[Method, deque[Hold]] = {}
        self._running: set[Method] = set()
        self._connected = False
        self._closed = False
        self._connections = 0
        self._responses = 0
        self._known: frozenset[str] = frozenset()
        self._open_responses: set[str] = set()
        self._last_item: dict[str, str | None] = {}

    def give(self, *events: ProviderEvent) -> None:
        """Let the provider send `events` now."""
        for event in events:
            match event:
                case ResponseStarted(response_id=response_id):
                    self._open_responses.add(response_id)
                    self._last_item[response_id] = None
                case OutputAudio() | OutputTranscript():
                    self._last_item[event.response_id] = event.item_id
                case ResponseEnded(response_id=response_id):
                    self._open_responses.discard(response_id)
                case _:
                    pass
            self._buffer.append(event)

    def hold(self, method: Method) -> Hold:
        """Hold the next call of `method` that no earlier hold is waiting for."""
        held = Hold(method)
        self._holds.setdefault(method, deque()).append(held)
        return held

    def drop(self, loss: ConnectionLost | None = None) -> None:
        """Lose the connection: what was given is still received, then calls raise `loss` until a restart."""
        self._disconnect(loss or ConnectionLost("the scripted connection was dropped"))

    @property
    def sent(self) -> list[InputFrame]:
        """The frames the provider got, in order, whatever their senders were told."""
        arrived = (call.argument for call in self.calls if call.method == "send" and call.acted)
        return [argument for argument in arrived if isinstance(argument, InputFrame)]

    async def connect(self, request: ConnectRequest) -> Connection:
        """Connect; the script's events are there when this returns."""
        return await self._perform("connect", request, lambda: self._open(request))

    async def send(self, frame: InputFrame) -> None:
        """Take the frame and give what `answer` says to it."""
        await self._perform("send", frame, lambda: self._accept(frame))

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        """Return the events given, at most `demand`, waiting for the first."""
        with self._called("receive", demand) as call:
            verdict = await self._verdict(call)
            if verdict.error is not None:
                self._raise(verdict.error)
            events = await self._buffer.take(demand)
            call.acted = True
            return events

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        """End the response as cancelled and cut its last item to what was heard."""
        asked = Interruption(response_id, heard_ms)
        await self._perform("interrupt", asked, lambda: self._cut(asked))

    async def restart(self, request: ConnectRequest) -> Connection:
        """Drop the connection and open another, which knows the history; see `ProviderAdapter.restart`."""
        return await self._perform("restart", request, lambda: self._reopen(request))

    async def refer(self, target_uri: str) -> None:
        """Hand the call on (`PhoneAdapter`). It goes on here until a test ends it, with a `CallEnded` say."""
        await self._perform("refer", target_uri, self._require_connection)

    async def reject(self, call_id: str, *, sip_status: int) -> None:
        """Refuse a call that rings (`PhoneAdapter`)."""
        await self._perform("reject", call_id, lambda: None)

    async def close(self, reason: CloseReason) -> None:
        """Hang up."""
        await self._perform("close", reason, self._shut)

    async def _perform(self, method: Method, argument: Argument, act: Callable[[], T]) -> T:
        with self._called(method, argument) as call:
            verdict = await self._verdict(call)
            if verdict.error is not None and not verdict.acts:
                self._raise(verdict.error)
            result = act()
            call.acted = True
            if verdict.error is not None:
                self._raise(verdict.error)
            return result

    @contextmanager
    def _called(self, method: Method, argument: Argument) -> Generator[Call]:
        """Record a call and how it ends, and hold the caller to the port's rules."""
        if method in self._running & _NEVER_OVERLAPPING:
            raise AssertionError(f"{method} overlaps itself; the port allows one at a time")
        call = Call(method=method, argument=argument)
        self.calls.append(call)
        self._running.add(method)
        try:
            yield call
        except asyncio.CancelledError:
            call.outcome = Outcome.CANCELLED
            raise
        except ConnectionLost:
            call.outcome = Outcome.LOST
            raise
        except Exception:
            call.outcome = Outcome.FAILED
            raise
        else:
            call.outcome = Outcome.DONE
        finally:
            self._running.discard(method)

    async def _verdict(self, call: Call) -> Verdict:
        holds = self._holds.get(call.method)
        return await holds.popleft().verdict_on(call) if holds else _AT_ONCE

    def _raise(self, error: ProviderError) -> NoReturn:
        if isinstance(error, ConnectionLost):
            self._disconnect(error)
        raise error

    def _open(self, request: ConnectRequest) -> Connection:
        if self._closed or self._connected:
            state = "closed" if self._closed else "already connected"
            raise ProviderError(f"the scripted adapter is {state}", reason=Reason.INVALID_REQUEST)
        self._connected = True
        self._connections += 1
        self._buffer.reopen()
        self.give(*self._script)
        self._script = ()
        connection_id = f"conn_{self._tag}_{self._connections}"
        history = request.history
        if history is None:
            return Connection(session_id=request.session_id, connection_id=connection_id)
        self._known = frozenset(item.item_id for item in history.items)
        if history.answer_owed:
            self._answer_by_itself()
        return Connection(
            session_id=request.session_id, connection_id=connection_id, restored=len(history.items)
        )

    def _reopen(self, request: ConnectRequest) -> Connection:
        if self._closed:
            self._require_connection()
        self._disconnect(ConnectionLost("the scripted connection was replaced"))
        if request.history is not None:
            self._buffer.forget()
        return self._open(request)

    def _answer_by_itself(self) -> None:
        """What the model says without being told to: to the same as an utterance, and nobody's."""
        self._responses += 1
        asked = SpeechFrame("owed", "owed", instructions="go on")
        for event in self._answer(asked, f"resp_{self._responses}"):
            self.give(ResponseStarted(event.response_id) if isinstance(event, ResponseStarted) else event)

    def _accept(self, frame: InputFrame) -> None:
        self._require_connection()
        if frame.frame_id in self._known:
            return
        self._responses += 1
        self.give(*self._answer(frame, f"resp_{self._responses}"))

    def _cut(self, asked: Interruption) -> None:
        self._require_connection()
        if asked.response_id not in self._last_item:
            raise ProviderError("no such response on this connection", reason=Reason.NOT_FOUND)
        item_id = self._last_item[asked.response_id]
        self._buffer.discard(
            lambda event: isinstance(event, OutputAudio) and event.response_id == asked.response_id
        )
        if item_id is not None and asked.heard_ms is not None:
            self.give(OutputTruncated(item_id, asked.heard_ms))
        if asked.response_id in self._open_responses:
            self.give(ResponseEnded(asked.response_id, ResponseStatus.CANCELLED))

    def _shut(self) -> None:
        self._closed = True
        self._disconnect(ConnectionLost("the scripted adapter is closed", retryable=False))

    def _disconnect(self, loss: ConnectionLost) -> None:
        """Every response that was started ends, the last ones here."""
        for response_id in sorted(self._open_responses):
            self.give(ResponseEnded(response_id, ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST))
        self._connected = False
        self._last_item.clear()
        self._buffer.end(loss)

    def _require_connection(self) -> None:
        if self._buffer.loss is not None:
            raise fresh(self._buffer.loss)
        if not self._connected:
            raise ProviderError("connect first", reason=Reason.INVALID_REQUEST)
