"""A load of HTTP requests that costs its process little: raw connections, each with one request at a time."""

import asyncio
import re
import time
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


@dataclass
class Tally:
    """What came back."""

    statuses: dict[bytes, int] = field(default_factory=dict[bytes, int])
    last: bytes = b""

    @property
    def total(self) -> int:
        return sum(self.statuses.values())


class _Asker(asyncio.Protocol):
    """Sends the same request again whenever it is answered, until it is told to stop."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._buffer = b""
        self._stopping = False
        self.stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(buffer, 0, head_end + 2)
        assert length is not None, buffer[:200]
        if len(buffer) < head_end + 4 + int(length[1]):
            return
        status = buffer[9:12]
        self._tally.statuses[status] = self._tally.statuses.get(status, 0) + 1
        self._tally.last = buffer
        self._buffer = b""
        if self._stopping:
            self._transport.close()
        else:
            self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.stopped.done():
            self.stopped.set_result(None)

    def stop(self) -> None:
        """Wait for the answer under way and leave."""
        self._stopping = True


def request(method: str, path: str, *, port: int, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


async def load(port: int, wire: bytes, *, connections: int, seconds: float) -> tuple[Tally, float]:
    """Ask over so many connections for so long; what came back, and how long that took."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    began = time.perf_counter()
    askers: list[_Asker] = []
    for _ in range(connections):
        _, asker = await loop.create_connection(lambda: _Asker(wire, tally), "127.0.0.1", port)
        askers.append(asker)
    await asyncio.sleep(seconds)
    for asker in askers:
        asker.stop()
    await asyncio.gather(*(asker.stopped for asker in askers))
    return tally, time.perf_counter() - began
