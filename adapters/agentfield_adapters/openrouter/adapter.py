"""The port on one side, one HTTP request for each answer on the other.

The server keeps nothing between two requests, so a connection here is what is open at the moment, and a
restart loses none of the conversation.
"""

import asyncio
from uuid import uuid4

from agentfield_adapters.event_buffer import EventBuffer, fresh
from agentfield_adapters.openai.endpoint import endpoint
from agentfield_adapters.openrouter.client import ChatClient
from agentfield_adapters.openrouter.conversation import Conversation
from agentfield_adapters.openrouter.dialect import TurnsDialect
from agentfield_adapters.openrouter.hearing import Ears, PushToTalk, ears_for
from agentfield_adapters.openrouter.line import Line
from agentfield_adapters.openrouter.listening import Listener
from agentfield_adapters.openrouter.requests import Wanted
from agentfield_adapters.openrouter.turns import Turns
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    AudioFrame,
    ImageFrame,
    InputFrame,
    InputRejected,
    Notice,
    ProviderEvent,
    SpeechFrame,
    TextFrame,
    ToolResultFrame,
    TurnEndFrame,
)
from agentfield_rt.ports import AudioFormat, Connection, ConnectRequest, ProviderSettings, SessionConfig

EVENTS_MAX = 4096
CLOSE_S = 2.0


class _Live:
    """What is open: the HTTP connections, the answers and the ears."""

    def __init__(self, line: Line, ears: Ears) -> None:
        self._line = line
        self.turns = Turns(line)
        self.listener = Listener(line, ears, began=self.turns.stop, ended=self._answer)

    def retire(self, loss: ConnectionLost) -> None:
        """Hear and answer nothing more; every response that was started has ended when this returns."""
        self.listener.retire()
        self.turns.retire(loss)

    def end_turn(self, frame: TurnEndFrame) -> None:
        """The user says that a turn is over."""
        if self.listener.commit():
            self._answer()
        else:
            self._line.buffer.append(InputRejected(frame.frame_id, is_turn=False))

    async def close(self) -> None:
        """Let go of every connection."""
        await self.turns.settle()
        await self._line.client.aclose()

    def _answer(self) -> None:
        if not self._line.config.create_response:
            return
        try:
            self.turns.offer(Wanted())
        except ProviderError as refusal:
            self._line.buffer.append(Notice("error", refusal.reason.value))


class AudioTurnsAdapter:
    """One session at a server that speaks chat completions with audio. Implements `ProviderAdapter`.

    A turn of the user ends when the voice activity detector says so; in a session without `turn_detection`,
    or where no detector is installed, when somebody says so (`TurnEndFrame`), when the next text is typed or
    when the next answer is asked for.

    Args:
        settings: Where the server is and the key; checked by `connect`.
    """

    def __init__(self, dialect: TurnsDialect, settings: ProviderSettings) -> None:
        self._dialect = dialect.at(settings)
        self._settings = settings
        self._buffer = EventBuffer(events_max=EVENTS_MAX)
        self._conversation = Conversation(uuid4().hex[:8])
        self._live: _Live | None = None
        self._closing: asyncio.Task[None] | None = None
        self._opening = False
        self._closed = False

    async def connect(self, request: ConnectRequest) -> Connection:
        """See that the server is there and takes the key.

        Raises:
            ProviderError: it is not, or does not; nothing was done.
        """
        if self._live is not None or self._opening or self._closed:
            raise ProviderError("this adapter has had its connection", reason=Reason.INVALID_REQUEST)
        return await self._open(request)

    async def restart(self, request: ConnectRequest) -> Connection:
        """Begin again with the same conversation; an answer that was running ends, what waits is forgotten.

        With a history that is the conversation: what of an answer was not heard is no part of it.

        Raises:
            ProviderError: as `connect`; what was open is closed all the same.
        """
        if self._closed:
            raise _closed()
        return await self._open(request)

    async def send(self, frame: InputFrame) -> None:
        """Take one frame. What asks for an answer returns when the socket took the request.

        If an answer is running the request waits for its end, and this returns at once.

        Raises:
            ProviderError: nothing was done, or, with `not_done` false, perhaps the request was made.
            ConnectionLost: the connection is gone.
        """
        live = self._require_live()
        match frame:
            case AudioFrame(pcm=pcm):
                await live.listener.hear(pcm)
            case TextFrame():
                live.listener.commit()
                self._conversation.typed(frame)
            case SpeechFrame():
                if frame.text is None:
                    live.listener.commit()
                await live.turns.ask(Wanted.by(frame))
            case TurnEndFrame():
                live.end_turn(frame)
            case ImageFrame():
                raise ProviderError(
                    "models that speak look at no pictures here", reason=Reason.INVALID_REQUEST
                )
            case ToolResultFrame():
                live.turns.require_room()
                if self._conversation.returned(frame):
                    live.turns.offer(Wanted())

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        """Wait for events; at most `demand`, in order. Cancelling it loses none.

        Raises:
            ConnectionLost: the connection is gone and all its events were received.
        """
        if self._buffer.loss is None and not self._opening:
            self._require_live()
        return await self._buffer.take(demand)

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        """Stop a response by closing its request; the conversation keeps the words that were heard.

        Raises:
            ProviderError: no such response here.
            ConnectionLost: the connection is gone.
        """
        await self._require_live().turns.interrupt(response_id, heard_ms=heard_ms)

    async def close(self, reason: CloseReason) -> None:
        """Let go of everything within 2 s; whoever waits gets `ConnectionLost`."""
        if self._closed:
            return
        self._closed = True
        await self._shut(_closed())

    async def _open(self, request: ConnectRequest) -> Connection:
        if {request.config.input_format, request.config.output_format} != {AudioFormat.PCM16}:
            raise ProviderError(
                "audio_turns speaks pcm16 only; audio formats are for transport=websocket",
                reason=Reason.INVALID_REQUEST,
            )
        self._opening = True
        self._buffer.reopen()
        try:
            await self._shut(ConnectionLost("the connection was replaced", reason=Reason.SUPERSEDED))
            where = endpoint(self._dialect.server, self._settings)
            client = ChatClient(where, self._dialect)
            try:
                await client.probe()
                ears = await self._ears(request.config)
                if self._closed:  # while the server was asked
                    raise _closed()
            except BaseException:
                await client.aclose()
                raise
            line = Line(client, self._buffer, self._conversation, request.config, self._dialect)
            live = self._live = _Live(line, ears)
            if request.history is not None:
                self._buffer.forget()
                self._conversation.restore(request.history)
                if request.history.answer_owed:
                    live.turns.offer(Wanted())
        except BaseException as failure:
            reason = failure.reason if isinstance(failure, ProviderError) else Reason.CANCELLED
            retryable = not self._closed
            self._buffer.end(ConnectionLost("there is no connection", reason=reason, retryable=retryable))
            raise
        finally:
            self._opening = False
        return Connection(
            session_id=request.session_id,
            connection_id=f"turns_{uuid4().hex}",
            restored=None if request.history is None else len(request.history.items),
        )

    async def _ears(self, config: SessionConfig) -> Ears:
        try:
            # A detector loads its model, which takes as long as a few frames of every other session.
            return await asyncio.to_thread(ears_for, config.turn_detection)
        except ImportError:  # said aloud, because turns are not found then
            self._buffer.append(Notice("turn_detection", "unavailable"))
            return PushToTalk()

    async def _shut(self, loss: ConnectionLost) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.retire(loss)
        if self._closed:
            self._buffer.end(loss)
        if live is not None:
            # A task of its own, so that a caller who is cancelled here leaves nothing open either.
            self._closing = asyncio.create_task(live.close(), name="close audio_turns")
            await asyncio.wait({self._closing}, timeout=CLOSE_S)

    def _require_live(self) -> _Live:
        loss = self._live.turns.loss if self._live is not None else self._buffer.loss
        if loss is not None:
            raise fresh(loss)
        if self._live is None:
            raise ProviderError("there is no connection yet: connect first", reason=Reason.INVALID_REQUEST)
        return self._live


def _closed() -> ConnectionLost:
    return ConnectionLost("this adapter is closed", retryable=False)
