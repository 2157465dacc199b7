"""HTTP and websockets as uvicorn speaks them, but for what costs too much and what it says wrongly."""

import asyncio
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class _Gathering:
    """A transport that writes at the end of the loop's turn what was written during it.

    A connection that becomes something else, a websocket, writes at once from then on.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._flush()
        self.write = self._transport.write  # type: ignore[method-assign]
        self._transport.set_protocol(protocol)

    def _flush(self) -> None:
        if self._written:
            written, self._written = self._written, []
            if not self._transport.is_closing():
                self._transport.write(b"".join(written))


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's own, over a transport that gathers: each write of an answer costs a system call."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Gathering(transport))  # type: ignore[arg-type]


class RefusableWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's own, which takes a websocket that was answered with a refusal for one that got no answer, and
    logs that as an error: whoever has no key could fill the log."""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        await super().send(message)  # type: ignore[arg-type]
        if self.close_sent:
            self.handshake_complete = True
