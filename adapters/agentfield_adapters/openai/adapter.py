"""The port on one side, one live connection that speaks OpenAI's realtime protocol on the other.

What the two transports share is here: the life of a connection and everything sent over it. How a
connection is opened and hung up is in `websocket` and `webrtc`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection

from agentfield_adapters.event_buffer import EventBuffer, fresh
from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai.call_guard import CallGuard
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.conversation import Conversation
from agentfield_adapters.openai.dialect import Dialect
from agentfield_adapters.openai.endpoint import endpoint
from agentfield_adapters.openai.held_audio import HeldAudio
from agentfield_adapters.openai.reading import keyless, reader
from agentfield_adapters.openai.responses import Response
from agentfield_adapters.openai.wire_audio import Encoder
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import AudioFrame, InputFrame, OutputAudio, ProviderEvent, TurnEndFrame
from agentfield_rt.ports import Connection, ConnectRequest, ProviderSettings, SessionConfig

EVENTS_MAX = 4096
CLOSE_S = 2.0


class RealtimeAdapter(ABC):
    """One session at a provider that speaks OpenAI's realtime protocol. Implements `ProviderAdapter`.

    Args:
        settings: Where the provider is and the key; checked by `connect`.
    """

    carries_audio: bool

    def __init__(self, dialect: Dialect, settings: ProviderSettings) -> None:
        self.dialect = dialect
        self._settings = settings
        self._buffer = EventBuffer(events_max=EVENTS_MAX)
        self._live: LiveConnection | None = None
        self._config = SessionConfig()
        self._encoder: Encoder | None = None
        self._held = HeldAudio()
        self._opening = False
        self._closed = False

    async def connect(self, request: ConnectRequest) -> Connection:
        """Open a connection and configure the session.

        Raises:
            ProviderError: not connected; with `not_done` false something may be left at the provider.
        """
        if self._live is not None or self._opening or self._closed:
            raise ProviderError("this adapter has had its connection", reason=Reason.INVALID_REQUEST)
        return await self._establish(request)

    async def restart(self, request: ConnectRequest) -> Connection:
        """Replace the connection, and tell the new one what was said (`ProviderAdapter.restart`).

        Without a history, events of the old one that nobody received are still handed out first.

        Raises:
            ProviderError: as `connect`; the old connection is gone all the same.
        """
        if self._closed:
            raise _closed()
        return await self._establish(request)

    async def send(self, frame: InputFrame) -> None:
        """Hand one frame over; returns when the socket took it.

        A speech or the answer to a tool's output may wait for the response that is running: only one can.
        It is then sent as soon as that has ended.

        Raises:
            ProviderError: this frame cannot be sent, nothing was.
            ConnectionLost: the connection is gone.
        """
        live = self._require_live()
        if not isinstance(frame, AudioFrame):
            if isinstance(frame, TurnEndFrame):
                self._held.end_turn()
            await live.submit(frame)
        elif self.carries_audio:
            audio = frame.pcm if self._encoder is None else self._encoder.encoded(frame.pcm)
            self._held.add(frame.pcm)
            await live.send(client.AudioAppend(audio=audio))
        else:
            raise ProviderError(
                "on a WebRTC call audio flows past this adapter", reason=Reason.INVALID_REQUEST
            )

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        """Wait for events; at most `demand`, in order. Cancelling it loses none.

        Raises:
            ConnectionLost: the connection is gone and all its events were received.
        """
        if self._buffer.loss is None and not self._opening:
            self._require_live()
        events = await self._buffer.take(demand)
        self._held.take(events)
        return events

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        """Stop a response. Audio of it that nobody received is dropped.

        Over a websocket the conversation keeps `heard_ms` of the response, never more than was received;
        on a call the provider has played it and knows better. Returns when the provider has confirmed; an
        error it answers instead is a notice among the events, because what it refuses here was already so.

        Raises:
            ProviderError: no such response here, or no confirmation within 2 s.
            ConnectionLost: the connection is gone.
        """
        live = self._require_live()
        response = live.conversation.response(response_id)
        if response is None:
            raise ProviderError("no such response on this connection", reason=Reason.NOT_FOUND)
        response.interrupted = True
        self._buffer.discard(
            lambda event: isinstance(event, OutputAudio) and event.response_id == response_id
        )
        await self._stop(live, response, heard_ms)

    async def close(self, reason: CloseReason) -> None:
        """Hang up within 2 s and let go of everything; whoever waits gets `ConnectionLost`.

        Raises:
            ProviderError: everything here is released, but the provider may not know that it is over.
        """
        if self._closed:
            return
        self._closed = True
        gone = _closed()
        live, self._live = self._live, None
        if live is not None:
            live.retire(gone)
        self._buffer.end(gone)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._hang_up(live)
        except TimeoutError:
            raise ProviderError(
                f"the provider did not hang up within {CLOSE_S:.0f} s", reason=Reason.TIMEOUT, not_done=False
            ) from None
        finally:
            if live is not None:
                live.abort()

    async def _establish(self, request: ConnectRequest) -> Connection:
        """Replace what there is by a new connection; if that fails, receivers learn it too."""
        self._opening = True
        self._config = request.config
        self._buffer.reopen()
        try:
            old, self._live = self._live, None
            if old is not None:
                old.retire(ConnectionLost("the connection was replaced", reason=Reason.SUPERSEDED))
                await self._retire(old, request)
            if request.history is not None:
                self._buffer.forget()
            return await self._open(request)
        except BaseException as failure:
            live, self._live = self._live, None
            if live is not None:
                live.retire(ConnectionLost("the connection did not come about"))
                live.abort()
            reason = failure.reason if isinstance(failure, ProviderError) else Reason.CANCELLED
            self._buffer.end(ConnectionLost("there is no connection", reason=reason))
            raise
        finally:
            self._opening = False

    async def _bring_up(
        self,
        socket: ClientConnection,
        session: dict[str, Any],
        *,
        guard: CallGuard | None = None,
        over: Iterable[str] = (),
    ) -> LiveConnection:
        """Make an open socket this adapter's connection and configure its session.

        Args:
            guard: Of the call that the socket is a sideband of.
            over: Responses of an earlier sideband.

        Raises:
            ProviderError: the socket is of no use; `_establish` lets go of it.
        """
        read = reader(self.dialect, strict=self._settings.strict)
        read = keyless(read, endpoint(self.dialect, self._settings))
        live = LiveConnection(socket, self._new_conversation(over), self._buffer, read=read, guard=guard)
        self._live = live
        try:
            if self._closed:  # while the socket was being opened
                raise _closed()
            await live.configure(session)
        except ProviderError as failure:
            # A session that was never usable has had no effect, however it ended.
            raise ProviderError(str(failure), reason=failure.reason, retryable=failure.retryable) from None
        return live

    def _new_conversation(self, over: Iterable[str]) -> Conversation:
        return Conversation(
            uuid4().hex[:8],
            over=over,
            dialect=self.dialect,
            audio_format=self._config.output_format,
            answers=self._config.create_response,
        )

    def _require_live(self) -> LiveConnection:
        loss = self._live.loss if self._live is not None else self._buffer.loss
        if loss is not None:
            raise fresh(loss)
        if self._live is None:
            raise ProviderError("there is no connection yet: connect first", reason=Reason.INVALID_REQUEST)
        return self._live

    @abstractmethod
    async def _open(self, request: ConnectRequest) -> Connection:
        """Open and `_bring_up` a connection; leave nothing at the provider when that fails."""

    @abstractmethod
    async def _stop(self, live: LiveConnection, response: Response, heard_ms: int | None) -> None:
        """Stop generating and playing a response, and make the conversation forget what was not heard."""

    @abstractmethod
    async def _hang_up(self, live: LiveConnection | None) -> None:
        """Tell the provider that it is over."""

    @abstractmethod
    async def _retire(self, live: LiveConnection, request: ConnectRequest) -> None:
        """Let go of a connection that is being replaced."""


def _closed() -> ConnectionLost:
    return ConnectionLost("this adapter is closed", retryable=False)
