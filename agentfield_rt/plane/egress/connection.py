"""One HTTP/1.1 connection of the plane's own: a request at a time, bounded, nothing followed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import httptools

from agentfield_rt.plane.egress.failures import BadAnswer, NoAnswer

HEADERS_MAX = 100
OVERHEAD_BYTES_MAX = 64 * 1024
"""Of an answer's headers and of what divides its body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. Names of headers are in lower case; of one that stands twice, the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnection(asyncio.Protocol):
    """Sends one request after another and parses the answers.

    Attributes:
        is_reusable: Nothing is under way and the server keeps the connection.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._body_max = 0
        self._left_bytes = 0
        self._ends_with_connection = False
        self.is_reusable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_reusable = True

    async def send(self, request: bytes, *, body_bytes_max: int) -> Answer:
        """Send a whole request and return its answer; with a bound of 0, as soon as its status is known.

        Raises:
            NoAnswer: the connection broke off; `BadAnswer`: what came is no answer, or too large.
        """
        assert self._transport is not None and self._answer is None
        self.is_reusable = False
        self._answer = asyncio.get_running_loop().create_future()
        self._headers, self._body, self._body_max = {}, bytearray(), body_bytes_max
        self._left_bytes = 2 * body_bytes_max + OVERHEAD_BYTES_MAX
        try:
            self._transport.write(request)
            return await self._answer
        finally:
            self._answer = None
            if not self.is_reusable:
                self.close()

    def close(self) -> None:
        """Give the connection up, whatever is under way."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(BadAnswer("its answer is not HTTP"))
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._fail(BadAnswer("its answer is too large"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        if exc is None and self._ends_with_connection:
            self._succeed()
        self._fail(NoAnswer("the connection broke off"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if len(self._headers) > HEADERS_MAX:
            self._fail(BadAnswer(f"its answer has more than {HEADERS_MAX} headers"))

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # an interim answer; the real one follows
            return
        says_length = "content-length" in self._headers or "transfer-encoding" in self._headers
        self._ends_with_connection = not says_length
        if not self._body_max:
            self._succeed()

    def on_body(self, body: bytes) -> None:
        if not self._body_max:
            return
        if len(self._body) + len(body) > self._body_max:
            self._fail(BadAnswer(f"its answer is larger than {self._body_max} bytes"))
        else:
            self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._headers = {}
            return
        self._succeed()
        if self._has_answered:
            # A server in trouble often hangs up after it has answered (uvicorn does), without saying so: what
            # is sent meanwhile would be in doubt.
            self.is_reusable = self._parser.should_keep_alive() and self._parser.get_status_code() < 500

    @property
    def _has_answered(self) -> bool:
        answer = self._answer
        return answer is not None and answer.done() and not answer.cancelled() and answer.exception() is None

    def _succeed(self) -> None:
        if self._answer is not None and not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(Answer(status, MappingProxyType(self._headers), bytes(self._body)))

    def _fail(self, error: NoAnswer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
            self.close()
