"""An adapter for a provider of your own: *acme*, which takes and gives JSON, one object a line, over TCP."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    InputFrame,
    Notice,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
)
from agentfield_rt.ports import Connection, ConnectRequest, ProviderSettings

OPEN_S = 5.0
EVENTS_MAX = 1024
LINE_BYTES_MAX = 64 * 1024


def meaning(said: dict[str, Any]) -> ProviderEvent:
    """What a line of acme's means to the runtime. Pure: the part with most to test needs no socket."""
    match said:
        case {"started": str(response_id)}:
            return ResponseStarted(response_id, said.get("utterance"))
        case {"words": str(words), "of": str(response_id)}:
            return OutputTranscript(response_id, response_id, words)
        case {"ended": str(response_id), "how": ("completed" | "cancelled") as how}:
            return ResponseEnded(response_id, ResponseStatus(how))
        case _:
            return Notice("acme", "malformed")


class AcmeAdapter:
    """One session at acme. Implements `ProviderAdapter`."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._address = urlsplit(settings.base_url or "tcp://127.0.0.1:4000")
        self._buffer = EventBuffer(events_max=EVENTS_MAX)
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._running: set[str] = set()
        self._closed = False

    async def connect(self, request: ConnectRequest) -> Connection:
        if self._closed:
            raise _gone()
        try:
            async with asyncio.timeout(OPEN_S):
                reader, self._writer = await asyncio.open_connection(
                    self._address.hostname, self._address.port, limit=LINE_BYTES_MAX
                )
        except (OSError, TimeoutError):
            # Nothing was done, and it may work later: the two facts the runtime decides by.
            raise ProviderError("acme cannot be reached", reason=Reason.UNAVAILABLE, retryable=True) from None
        self._buffer.reopen()
        self._reading = asyncio.create_task(self._read(reader), name="acme")
        return Connection(session_id=request.session_id, connection_id=f"acme-{uuid4().hex}")

    async def send(self, frame: InputFrame) -> None:
        match frame:
            case TextFrame(frame_id, text):
                await self._write({"typed": text, "id": frame_id})
            case SpeechFrame(text=str(text)):
                await self._write({"say": text, "utterance": frame.utterance_id})
            case _:
                raise ProviderError("acme reads and speaks texts only", reason=Reason.INVALID_REQUEST)

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        return await self._buffer.take(demand)

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        await self._write({"stop": response_id})

    async def restart(self, request: ConnectRequest) -> Connection:
        if self._closed:
            raise _gone()
        self._hang_up(ConnectionLost("the connection was replaced", reason=Reason.SUPERSEDED))
        return await self.connect(request)

    async def close(self, reason: CloseReason) -> None:
        self._closed = True
        self._hang_up(_gone())

    async def _write(self, said: dict[str, Any]) -> None:
        if self._closed:
            raise _gone()
        if self._writer is None:
            raise ProviderError("there is no connection yet: connect first", reason=Reason.INVALID_REQUEST)
        try:
            self._writer.write(json.dumps(said).encode() + b"\n")
            await self._writer.drain()
        except OSError:
            raise ConnectionLost("acme hung up") from None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Read until the end, and tell the buffer of it. Its `room` holds acme back when nobody receives."""
        try:
            while line := await reader.readline():
                self._give(line)
                await self._buffer.room()
        except (OSError, ValueError):  # ValueError: a line without end
            pass
        self._hang_up(ConnectionLost("acme hung up"))

    def _give(self, line: bytes) -> None:
        try:
            event = meaning(json.loads(line))
        except ValueError:
            event = Notice("acme", "malformed")
        match event:
            case ResponseStarted(response_id):
                self._running.add(response_id)
            case ResponseEnded(response_id):
                self._running.discard(response_id)
            case _:
                pass
        self._buffer.append(event)

    def _hang_up(self, loss: ConnectionLost) -> None:
        """Let go of everything. What was started is ended here, since acme no longer will."""
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()
        if self._writer is not None:
            self._writer.transport.abort()
        for response_id in sorted(self._running):
            lost = ResponseEnded(response_id, ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST)
            self._buffer.append(lost)
        self._running.clear()
        self._buffer.end(loss)


def _gone() -> ConnectionLost:
    return ConnectionLost("this adapter is closed", retryable=False)


def adapter(settings: ProviderSettings) -> AcmeAdapter:
    """The factory that the entry point `acme/tcp` names."""
    return AcmeAdapter(settings)
