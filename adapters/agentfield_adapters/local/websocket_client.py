"""One client's websocket: frames in to a conversation, events out through a bounded queue."""

from __future__ import annotations

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agentfield_adapters.local.conversation.conversation import Conversation
from agentfield_adapters.local.event_stream import EventFrame

_log = logging.getLogger(__name__)

FRAMES_MAX = 2_000
QUEUED_CHARACTERS_MAX = 16 * 1024 * 1024
CLOSE_NORMAL, CLOSE_TRY_LATER = 1000, 1013
_SUBPROTOCOL = "realtime"


class WebSocketClient:
    """Speaks with one client until it goes, the session ends, or it reads too slowly."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._frames: asyncio.Queue[EventFrame | None] = asyncio.Queue()
        self._queued_characters = 0
        self._close_code = CLOSE_NORMAL
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
        self._frames.put_nowait(frame)

    def end(self, code: int = CLOSE_NORMAL) -> None:
        """Close the socket after what is queued."""
        if not self._is_ending:
            self._is_ending = True
            self._close_code = code
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
            await conversation.receive(text if text is not None else message.get("bytes") or b"", self)

    async def _send(self) -> None:
        try:
            while (frame := await self._frames.get()) is not None:
                self._queued_characters -= len(frame.text)
                await self._websocket.send_text(frame.text)
            if self._websocket.application_state is WebSocketState.CONNECTED:
                await self._websocket.close(self._close_code)
        except (WebSocketDisconnect, RuntimeError):
            _log.debug("a client left while it was sent to")
