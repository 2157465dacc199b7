"""One client's websocket: frames in to a conversation, events out through a bounded queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agentfield_adapters.local.conversation.conversation import Conversation
from agentfield_adapters.local.event_stream import EventFrame
from agentfield_adapters.local.faults.acts import Act
from agentfield_adapters.local.faults.line import Line
from agentfield_adapters.local.instrument.setups import faults_in_metadata
from agentfield_adapters.local.protocol.validation import Refusal

_log = logging.getLogger(__name__)

FRAMES_MAX = 2_000
QUEUED_CHARACTERS_MAX = 16 * 1024 * 1024
CLOSE_NORMAL, CLOSE_TRY_LATER = 1000, 1013
_SUBPROTOCOL = "realtime"


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """What is to be done for an event, and how long that was."""

    acts: Sequence[Act]
    characters: int


class WebSocketClient:
    """Speaks with one client until it goes, the session ends, or it reads too slowly.

    Args:
        line: Where its events pass; breaks them if told to.
        on_faults: Called with the faults that a client asks for in its metadata; may raise `Refusal`.
    """

    def __init__(
        self, websocket: WebSocket, line: Line, *, on_faults: Callable[[Sequence[str]], None]
    ) -> None:
        self._websocket = websocket
        self.line = line
        self._on_faults = on_faults
        self._frames: asyncio.Queue[_Outgoing | None] = asyncio.Queue()
        self._queued_characters = 0
        self._close_code, self._close_reason = CLOSE_NORMAL, ""
        self._is_ending = False

    async def accept(self) -> None:
        """Accept the upgrade, with the `realtime` subprotocol when it was offered."""
        offered = [str(name) for name in self._websocket.scope.get("subprotocols", [])]
        await self._websocket.accept(subprotocol=_SUBPROTOCOL if _SUBPROTOCOL in offered else None)

    def deliver(self, frame: EventFrame) -> None:
        """Queue an event; a client that lets too much pile up is cut off."""
        if self._is_ending:
            return
        self._queued_characters += len(frame.text)
        if self._frames.qsize() >= FRAMES_MAX or self._queued_characters > QUEUED_CHARACTERS_MAX:
            _log.warning("a client reads too slowly: %d events wait for it", self._frames.qsize())
            self.end(CLOSE_TRY_LATER)
            return
        self._frames.put_nowait(_Outgoing(self.line.acts(frame), len(frame.text)))

    def end(self, code: int = CLOSE_NORMAL, reason: str = "") -> None:
        """Close the socket after what is queued."""
        if not self._is_ending:
            self._is_ending = True
            self._close_code, self._close_reason = code, reason
            self._frames.put_nowait(None)

    async def converse(self, conversation: Conversation) -> None:
        """Pass frames both ways until either side ends it."""
        sending = asyncio.create_task(self._send(), name="websocket out")
        receiving = asyncio.create_task(self._receive(conversation), name="websocket in")
        try:
            await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_ending = True
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
        for task in (sending, receiving):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _receive(self, conversation: Conversation) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            data = text if text is not None else message.get("bytes") or b""
            if not self.line.takes(data):
                continue
            try:
                self._on_faults(faults_in_metadata(data))
            except Refusal as refusal:
                conversation.refuse(refusal, data, self)
            else:
                await conversation.receive(data, self)

    async def _send(self) -> None:
        try:
            while (outgoing := await self._frames.get()) is not None:
                self._queued_characters -= outgoing.characters
                for act in outgoing.acts:
                    if not await self.line.perform(act):
                        return
            if self._websocket.application_state is WebSocketState.CONNECTED:
                await self._websocket.close(self._close_code, self._close_reason)
        except (WebSocketDisconnect, RuntimeError):
            _log.debug("a client left while it was sent to")
