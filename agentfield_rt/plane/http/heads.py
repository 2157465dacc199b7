"""What the head of a request may be, and how long it may take to come: uvicorn bounds neither."""

import asyncio

from agentfield_rt.plane.http.protocol import OneWriteProtocol

HEAD_BYTES_MAX = 64 * 1024
HEADERS_MAX = 200
"""Proxies add some of their own."""

HEAD_MAX_S = 10.0
SILENT_MAX_S = 30.0
"""How long a new connection may say nothing: browsers open some that they may need."""

_REFUSED = f"the head of a request has at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers"


class BadHead(Exception):
    """Ends the parsing of a request, whose caller is told 400."""


class BoundedHeads(OneWriteProtocol):
    """A connection whose every request has to begin, and to be small, in time."""

    _deadline: asyncio.TimerHandle | None = None
    _has_host = False
    _head_bytes = 0
    _is_in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(SILENT_MAX_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._is_in_head
        super().data_received(data)
        if not self._is_in_head:  # it came as one, as nearly all do
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._wait_no_more()
            self.send_400_response(_REFUSED)
        elif not was_in_head or self._deadline is None:  # another one may have ended in front of it
            self._wait_no_more()
            self._deadline = self.loop.call_later(HEAD_MAX_S, self._give_up)

    def on_message_begin(self) -> None:
        self._is_in_head, self._has_host, self._head_bytes = True, False, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEADERS_MAX or len(value) > HEAD_BYTES_MAX:
            raise BadHead
        if len(name) == 4 and name.lower() == b"host":
            if self._has_host:  # something in front of us may have gone by the other one (RFC 9112, 3.2)
                raise BadHead
            self._has_host = True

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._deadline is not None:
            self._wait_no_more()
        super().on_headers_complete()

    def _give_up(self) -> None:
        """Whoever has said something is told why."""
        self._deadline = None
        if self._is_in_head:
            self.send_400_response(f"the head of a request comes within {HEAD_MAX_S:.0f} s")
        else:
            self.transport.close()

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
