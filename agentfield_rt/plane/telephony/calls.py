"""Carries one phone call: from the first message of its vendor's stream until one side hangs up."""

import asyncio
import contextlib
import logging
from functools import partial

from fastapi import WebSocket, WebSocketDisconnect

from agentfield_journal import JournalError
from agentfield_rt.core.records import CallerFault
from agentfield_rt.errors import ProviderError, RealtimeError
from agentfield_rt.frames import FRAME_MS
from agentfield_rt.plane.errors import PlaneError
from agentfield_rt.plane.telephony.caller import TelephonyCaller
from agentfield_rt.plane.telephony.dialled import dialled
from agentfield_rt.plane.telephony.digits import DigitOrder
from agentfield_rt.plane.telephony.hanging_up import hang_up
from agentfield_rt.telephony import (
    BadMessage,
    CallAudio,
    CallDigit,
    CallEvent,
    CallStarted,
    CallStopped,
    MarkReached,
    PhoneStream,
)
from agentfield_rt.voice.session import VoiceSession

log = logging.getLogger(__name__)

START_WITHIN_S = 10.0
"""How long a stream may take to say which call it carries."""

SILENT_MAX_S = 30.0
"""A vendor sends fifty messages a second, also of a caller who says nothing; one that sends none has gone."""

AHEAD_MAX_MS = 10_000
"""How much more audio may come than time has passed."""

DIGITS_PER_S_MAX, DIGITS_AHEAD_MAX = 20, 64
"""How many digits may come: so many a second, and so many at once."""

REASON_BYTES_MAX = 123
"""Of a close frame (RFC 6455 5.5)."""

MESSAGE_CHARS_MAX = 64 * 1024
"""A vendor's message carries 20 ms of sound in base64, less than a hundredth of it."""

TOO_LARGE = 1009  # RFC 6455 7.4.1
CALLERS_FAULT = 4400
SERVERS_FAULT = 4500


class CallGone(Exception):
    """The socket is closed, or nothing comes through it any more."""


async def started(socket: WebSocket, stream: PhoneStream) -> CallStarted:
    """The call that a new stream carries.

    Raises:
        CallGone: it says none in time, or leaves.
        BadMessage: it says something else first.
    """
    try:
        async with asyncio.timeout(START_WITHIN_S):
            while True:
                for event in stream.take(await _message(socket)):
                    if isinstance(event, CallStarted):
                        return event
    except TimeoutError:
        raise CallGone from None


async def refuse(socket: WebSocket, error: RealtimeError | JournalError) -> None:
    """Close a stream that will not be served; its vendor is told whose fault that is."""
    is_ours = isinstance(error, ProviderError | JournalError) or (
        isinstance(error, PlaneError) and error.status >= 500
    )
    reason = str(error).encode()[:REASON_BYTES_MAX].decode(errors="ignore")
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(SERVERS_FAULT if is_ours else CALLERS_FAULT, reason)


class PhoneCall:
    """One call and its session, which is not connected yet."""

    def __init__(self, session: VoiceSession, socket: WebSocket, stream: PhoneStream) -> None:
        self._session = session
        self._socket = socket
        self._stream = stream
        self._caller = TelephonyCaller(socket, stream)
        self._digits = DigitOrder(partial(dialled, session))
        self._digits_total = 0
        self._heard_ms = 0
        self._began_at_s = asyncio.get_running_loop().time()

    async def carry(self) -> None:
        """Connect the session and carry the call until one side hangs up; then the other is."""
        try:
            await self._session.connect(caller=self._caller)
        except (RealtimeError, JournalError) as error:
            await refuse(self._socket, error)
            await hang_up(self._session)
            return
        ending = asyncio.create_task(self._end_with_session(), name=f"call {self._session.session_id}")
        try:
            while await self._take(await _message(self._socket)):
                pass
        except CallGone:
            pass
        finally:
            self._digits.close()
            await hang_up(self._session)
            ending.cancel()
            await self._close_socket()

    async def _end_with_session(self) -> None:
        await self._session.ended()
        await self._close_socket()

    async def _close_socket(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the vendor hung up first
            await self._socket.close()

    async def _take(self, message: str) -> bool:
        """Take one message; returns whether the call goes on."""
        try:
            events = self._stream.take(message)
            for event in events:
                await self._happened(event)
        except BadMessage as bad:
            if self._session.is_over:
                return False
            if self._session.caller_faults.note(bad.fault):
                await self._socket.close(CALLERS_FAULT, "too many messages that are not the protocol's")
                return False
            return True
        is_over = any(isinstance(event, CallStopped) for event in events)
        return not (is_over or self._session.is_over or self._caller.is_stuck)

    async def _happened(self, event: CallEvent) -> None:
        match event:
            case CallAudio(pcm):
                self._require_time_to_say_it()
                await self._hear(pcm)
            case MarkReached(name):
                self._caller.reached(name)
            case CallDigit(digit, pressed_at_s):
                self._require_time_to_press_it()
                self._digits.put(digit, pressed_at_s)
            case CallStarted() | CallStopped():
                pass

    def _require_time_to_say_it(self) -> None:
        if self._heard_ms + FRAME_MS > self._passed_s * 1000 + AHEAD_MAX_MS:
            raise BadMessage("more audio comes than time passes", CallerFault.TOO_FAST)
        self._heard_ms += FRAME_MS

    def _require_time_to_press_it(self) -> None:
        if self._digits_total >= self._passed_s * DIGITS_PER_S_MAX + DIGITS_AHEAD_MAX:
            raise BadMessage("more digits come than anybody can press", CallerFault.TOO_FAST)
        self._digits_total += 1

    @property
    def _passed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_at_s

    async def _hear(self, pcm: bytes) -> None:
        try:
            await self._session.hear_audio(pcm)
        except RealtimeError:
            log.info("a frame of session %s was not sent", self._session.session_id)


async def _message(socket: WebSocket) -> str:
    """The next message; one of bytes is none that can be read.

    Raises:
        CallGone: there is none any more, nothing came for long, or it was too large for any.
    """
    try:
        async with asyncio.timeout(SILENT_MAX_S):
            message = await socket.receive()
    except TimeoutError:
        raise CallGone from None
    if message["type"] == "websocket.disconnect":
        raise CallGone
    text = message.get("text") or ""
    if len(text) > MESSAGE_CHARS_MAX:
        await socket.close(TOO_LARGE, "a message is larger than any of the protocol")
        raise CallGone
    return text
