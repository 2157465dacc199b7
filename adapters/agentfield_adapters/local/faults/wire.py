"""Reaches below a request to its socket, for faults that no web server would commit by itself."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio.transports import BaseTransport
from typing import Protocol

from starlette.requests import HTTPConnection
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_STATE = "wire"
_LINGER_NOT = struct.pack("ii", 1, 0)  # so that closing sends a reset instead of a goodbye


class Wire(Protocol):
    """One client's socket."""

    def reset(self) -> None:
        """Break the connection without a word."""
        ...


def wire_of(connection: HTTPConnection) -> Wire:
    """Return the socket behind a request or a websocket of this process's own server."""
    wire: Wire = connection.scope["state"][_STATE]
    return wire


class WebSocketWire(WebSocketsSansIOProtocol):
    """uvicorn's websocket, within reach of the application."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Put this connection into its scope's state."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _STATE: self}

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a handshake that was refused is complete, whatever uvicorn logs about it."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def reset(self) -> None:
        """Break the connection without a word."""
        self.handshake_complete = True  # there will be none, and that is no mistake of the application
        _reset(self.transport)

    def play_dead(self) -> None:
        """Keep the connection, but neither read nor ping."""
        self.stop_keepalive()
        self.read_paused = False  # or the next event that is taken from the queue resumes reading
        self.transport.pause_reading()

    def write_text(self, data: bytes) -> None:
        """Send a text frame of any bytes, also of such as are no text."""
        self.conn.send_text(data)
        self.transport.write(b"".join(self.conn.data_to_send()))


class HttpWire(H11Protocol):
    """uvicorn's HTTP connection, within reach of the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Put this connection into its scopes' state."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _STATE: self}

    def reset(self) -> None:
        """Break the connection without a word."""
        _reset(self.transport)


def _reset(transport: asyncio.Transport) -> None:
    held: socket.socket | None = transport.get_extra_info("socket")
    if held is not None and not transport.is_closing():
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()
