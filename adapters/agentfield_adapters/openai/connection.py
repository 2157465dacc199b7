"""One live connection: its socket, the task that reads it, and who waits for what. What a restart replaces.

Everything the provider means is decided in `conversation`; here is only time: deadlines, order and the end.
"""

import asyncio
import logging
from contextlib import AbstractContextManager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agentfield_adapters.event_buffer import EventBuffer, fresh
from agentfield_adapters.malformed import Patience
from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai import server_events as server
from agentfield_adapters.openai.acknowledgements import (
    SESSION_CREATED,
    SESSION_RESTORED,
    SESSION_UPDATED,
    UNNAMED,
    Acknowledgements,
    key_of,
)
from agentfield_adapters.openai.call_guard import CallGuard, tampered
from agentfield_adapters.openai.conversation import Conversation, WordFrame
from agentfield_adapters.openai.dialing import WRITE_BYTES_MAX
from agentfield_adapters.openai.expiry import Expiry
from agentfield_adapters.openai.failures import closed, error_code, fatal
from agentfield_adapters.openai.reading import Read
from agentfield_adapters.openai.stalls import StallWatch
from agentfield_rt.errors import ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import CallEnded, CallTampered, Notice

_log = logging.getLogger(__name__)

ANSWER_S = 5.0
"""How long the provider may take to configure a session."""
SEND_S = 4.0
"""How long a provider may take nothing of what is sent. A ping would wait behind it, and so tell nobody."""
_KEEPALIVE_FAILED = 1011


class LiveConnection:
    """A socket with a conversation on it.

    Args:
        buffer: Where events go; this connection's last act there is to end it.
        read: Makes events of frames.
        guard: The socket is a sideband: it watches a call whose media flows elsewhere, and on which others
            speak too. It begins without `session.created`, and its clean end is the caller's.
    """

    def __init__(
        self,
        socket: ClientConnection,
        conversation: Conversation,
        buffer: EventBuffer,
        *,
        read: Read,
        guard: CallGuard | None = None,
    ) -> None:
        self._socket = socket
        self._read_frame = read
        self.conversation = conversation
        self._buffer = buffer
        self._guard = guard
        self._answers = Acknowledgements()
        self._reader: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._restoring: asyncio.Task[None] | None = None
        self._verdict: ConnectionLost | None = None
        self._patience = Patience()
        self._expiry = Expiry(buffer, conversation.dialect.lifetime_s)
        self._expires_at: Any = None
        self.loss: ConnectionLost | None = None
        self.provider_session_id: str | None = None

    async def configure(self, session: dict[str, Any]) -> None:
        """Start reading and configure the session; it is usable when this returns.

        Raises:
            ProviderError: the provider refused the configuration, or said nothing in time.
            ConnectionLost: the connection ended meanwhile.
        """
        with self._answers.expect(SESSION_CREATED) as created:
            self._reader = asyncio.create_task(self._read(), name="realtime-reader")
            if self._guard is None and self.conversation.dialect.greets:
                await self.answer(created, within_s=ANSWER_S)
        update = client.SessionUpdate(event_id=self.conversation.event_id(), session=session)
        # Nothing else was sent yet, so an error that does not say what it refuses refuses this.
        code = await self._update(update, SESSION_UPDATED, UNNAMED)
        if code is not None:
            raise ProviderError(
                f"the provider refused the session's configuration: {code}", reason=Reason.INVALID_REQUEST
            )
        if self.loss is None:
            self._watch = asyncio.create_task(self._watch_answers(), name="realtime-watch")
            if self._guard is None:  # a call ends when it ends: nobody could replace it
                self._expiry.begin(self._expires_at)

    async def reconfigure(self, session: dict[str, Any]) -> None:
        """Configure the session again.

        Raises:
            ProviderError: the provider refused it, or said nothing in time.
            ConnectionLost: the connection ended meanwhile.
        """
        update = client.SessionUpdate(event_id=self.conversation.event_id(), session=session)
        if (code := await self._update(update, SESSION_UPDATED)) is not None:
            raise ProviderError(
                f"the provider refused the session's configuration: {code}", reason=Reason.INVALID_REQUEST
            )

    async def go_on(self) -> None:
        """Ask for the answer that was lost with an earlier connection.

        Raises:
            ConnectionLost: the connection is gone.
        """
        self.conversation.go_on()
        await self._request()

    def require_open(self) -> None:
        """It may have ended meanwhile.

        Raises:
            ConnectionLost: it did.
        """
        if self.loss is not None:
            raise fresh(self.loss)

    async def _update(self, update: client.SessionUpdate, *keys: str) -> str | None:
        """The error that refuses it, if one does."""
        try:
            return await self.ask(update, *keys, within_s=ANSWER_S)
        except ConnectionLost:
            raise
        except ProviderError:
            if self.conversation.dialect.greets:
                raise
            self._buffer.append(Notice(SESSION_UPDATED, "missing"))
            return None

    async def send(self, event: client.ClientEvent) -> None:
        """Write one event; returns when the socket took it.

        Raises:
            ConnectionLost: the connection is gone, or the provider takes nothing any more.
        """
        self.require_open()
        data = client.encode(event)
        try:
            if self._socket.transport.get_write_buffer_size() + len(data) < WRITE_BYTES_MAX:
                await self._socket.send(data, text=True)  # waits for nobody
                return
            async with asyncio.timeout(SEND_S):
                await self._socket.send(data, text=True)
        except ConnectionClosed as end:
            raise _classified(end) from None
        except TimeoutError:
            loss = ConnectionLost(f"the provider took nothing for {SEND_S:.0f} s", reason=Reason.TIMEOUT)
            self._give_up(loss)
            raise fresh(loss) from None

    async def submit(self, frame: WordFrame) -> None:
        """Send what a frame asks for.

        Raises:
            ProviderError: the frame cannot be sent; nothing was.
            ConnectionLost: the connection is gone.
        """
        event = self.conversation.submit(frame)
        if isinstance(event, client.ItemCreate):
            await self.create(event)
        elif event is not None:
            await self.send(event)
        await self._request()

    async def create(self, event: client.ItemCreate) -> None:
        """Add an item to the conversation.

        Raises:
            ConnectionLost: the connection is gone.
        """
        if self._guard is not None:
            self._guard.made(str(event.item.id))
        await self.send(event)

    def retire(self, loss: ConnectionLost) -> None:
        """Listen no more: end the open responses and fail whoever waits. The socket is still open."""
        if self._reader is not None:
            self._reader.cancel()
        self._end(loss)

    async def close(self) -> None:
        """Say goodbye, wait at most a second for the answer, and let go of the socket in any case."""
        try:
            await self._socket.close()
        finally:
            self.abort()

    def abort(self) -> None:
        """Let go of the socket now."""
        self._socket.transport.abort()

    def _end(self, loss: ConnectionLost) -> None:
        if self.loss is not None:
            return
        self.loss = loss
        self._expiry.cancel()
        for task in (self._watch, self._restoring):
            if task is not None:
                task.cancel()
        for event in self.conversation.end():
            self._buffer.append(event)
        self._answers.fail(loss)

    async def _request(self) -> None:
        """Ask for the response whose turn it is.

        A claim is written before anything is awaited, so a cancelled caller takes no request with it; one
        that was not claimed yet is claimed after the next event.
        """
        while (create := self.conversation.claim()) is not None:
            await self.send(create)

    async def ask(self, event: client.ClientEvent, *keys: str, within_s: float) -> str | None:
        """Send an event and wait for its answer: the first of `keys`, or the error that refuses it.

        Returns:
            The code of the error, or None.

        Raises:
            ProviderError: no answer in time.
            ConnectionLost: the connection is gone.
        """
        with self.expect(event, *keys) as answer:
            await self.send(event)
            return await self.answer(answer, within_s=within_s)

    def expect(
        self, event: client.ClientEvent, *keys: str
    ) -> AbstractContextManager[asyncio.Future[str | None]]:
        """`ask` in two steps, for events that must be sent together: enter, send, then `answer`."""
        return self._answers.expect(*keys, str(event.event_id))

    async def answer(self, answer: asyncio.Future[str | None], *, within_s: float) -> str | None:
        """Wait for what is expected; as `ask`."""
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise ProviderError(
                f"the provider did not answer within {within_s:.0f} s",
                reason=Reason.TIMEOUT,
                retryable=True,
                not_done=False,
            ) from None

    async def _read(self) -> None:
        """Read until the end, and end the buffer with the reason. The only place that reads the socket."""
        hung_up = False
        try:
            while True:
                await self._buffer.room()
                self._take(await self._socket.recv(decode=False))
                if self.loss is not None:
                    return  # whoever took the events has closed or replaced this connection
                if self.conversation.may_claim:
                    await self._request()  # a peer that reads nothing could hold us up; the keepalive ends it
        except ConnectionClosed as end:
            loss = self._verdict or _classified(end)
            hung_up = self._guard is not None and end.rcvd is not None and end.rcvd.code == 1000
        except ConnectionLost as fatal_loss:
            loss = fatal_loss
        except Exception as bug:  # the boundary of a task: it must not die without a word
            # The message may quote an event, that is speech: only the kind is told.
            _log.error("reading the provider's events failed: %s", type(bug).__name__)
            loss = ConnectionLost("the adapter failed on an event", reason=Reason.INTERNAL, retryable=False)
        if hung_up:
            loss = ConnectionLost("the caller hung up", retryable=False)
        self._end(loss)
        if hung_up:
            self._buffer.append(CallEnded())
        self._buffer.end(loss)
        self._socket.transport.abort()

    async def _watch_answers(self) -> None:
        watch = StallWatch(self.conversation, self._buffer, ask=self.ask, request=self._request)
        with suppress(ConnectionLost):  # the reader has told it
            self._give_up(await watch.run())

    def _give_up(self, verdict: ConnectionLost) -> None:
        """This connection is of no use any more; the reader tells why."""
        self._verdict = verdict
        self._socket.transport.abort()

    def _look_after(self, guard: CallGuard, event: server.ReadEvent | server.Unread) -> None:
        """Tell what somebody else did to the call; a session that was changed is put back, once."""
        if not (what := guard.notice(event)):
            return
        self._buffer.keep(CallTampered(what))
        if guard.is_restoring and self._restoring is None:
            self._restoring = asyncio.create_task(self._restore(guard), name="realtime-restore")

    async def _restore(self, guard: CallGuard) -> None:
        update = client.SessionUpdate(event_id=self.conversation.event_id(), session=guard.restoration)
        try:
            code = await self.ask(update, SESSION_RESTORED, within_s=ANSWER_S)
        except ConnectionLost:
            return  # the reader has told it
        except ProviderError as failure:
            code = failure.reason
        if code is not None:
            self._give_up(tampered("what the other end changed of the session could not be put back"))

    def _take(self, data: bytes) -> None:
        """Take in one frame, and let whoever waits for events go on: the last thing done with it here."""
        try:
            event = self._read_frame(data)
        except server.MalformedEvent as malformed:
            self._malformed(malformed)
        else:
            for meaning in self.conversation.react(event):
                self._buffer.keep(meaning)
            if not isinstance(event, server.AudioDelta):  # most events are, and they answer nothing
                if self._guard is not None:
                    self._look_after(self._guard, event)
                self._settle(event)
        self._buffer.hand_over()

    def _settle(self, event: server.ReadEvent | server.Unread) -> None:
        if isinstance(event, server.Error):
            code = error_code(event.error)
            if (loss := fatal(code)) is not None:
                raise loss
            self._answers.settle(event.error.event_id or UNNAMED, code)
        elif (key := key_of(event)) is not None:
            if isinstance(event, server.SessionCreated):
                self.provider_session_id, self._expires_at = event.session.id, event.session.expires_at
            self._answers.settle(key)
            if key == SESSION_UPDATED and self._guard is not None and not self._guard.is_restoring:
                self._answers.settle(SESSION_RESTORED)

    def _malformed(self, malformed: server.MalformedEvent) -> None:
        """One bad event is reported and skipped; many in a short time end the connection."""
        self._buffer.append(Notice(malformed.name, "malformed"))
        if (loss := self._patience.wear(asyncio.get_running_loop().time())) is not None:
            raise loss


def _classified(end: ConnectionClosed) -> ConnectionLost:
    """Who ended it: we, because of what the provider sent, or the provider, or nobody."""
    ours = end.sent if not end.rcvd_then_sent else None
    if ours is not None and ours.code != _KEEPALIVE_FAILED:
        return closed(ours.code, "")
    return closed(None, "") if end.rcvd is None else closed(end.rcvd.code, end.rcvd.reason)
