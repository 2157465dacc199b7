"""A server of chat completions on a real socket that does exactly what a test tells it."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
WAIT_S = 5


@dataclass
class Exchange:
    """One request, and the pen for its answer."""

    path: str
    headers: dict[str, str]
    raw_body: bytes
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def body(self) -> Json:
        body: Json = json.loads(self.raw_body)
        return body

    async def answer(self, status: int, body: Json | None = None, **headers: str) -> None:
        """A whole answer."""
        data = json.dumps(body or {}).encode()
        names = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
        await self._head(status, names)
        await self.send(data)
        self.over.set()

    async def begin(self, content_type: str = "text/event-stream") -> None:
        """Status 200, and a stream follows."""
        await self._head(200, {"Content-Type": content_type, "Connection": "close"})

    async def give(self, *chunks: Json | bytes) -> None:
        """Chunks of the stream; bytes go out as they are."""
        for chunk in chunks:
            await self.send(chunk if isinstance(chunk, bytes) else event(chunk))

    async def done(self, finish: str | None = "stop") -> None:
        """The end as it should be."""
        await self.give(
            {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, b"data: [DONE]\n\n"
        )
        await self.end()

    async def end(self) -> None:
        """End the connection cleanly, without a word."""
        with suppress(OSError):
            self._writer.close()
            await self._writer.wait_closed()
        self.over.set()

    def reset(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()
        self.over.set()

    async def closed_by_client(self) -> None:
        """Return once the client has closed the connection."""
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionError):
                while await self._reader.read(1024):
                    pass
        await self.end()

    async def send(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode())


class ChatPeer:
    """What came in, in order; probes are answered by the peer itself."""

    def __init__(self) -> None:
        self.url = ""
        self.probe_status = 200
        self.probe_paths: list[str] = []
        self.completions = 0
        self._requests: asyncio.Queue[Exchange] = asyncio.Queue()

    async def next(self, path: str = "/v1/chat/completions") -> Exchange:
        """The next request, which must be for this path."""
        async with asyncio.timeout(WAIT_S):
            exchange = await self._requests.get()
        assert exchange.path == path, exchange.path
        return exchange

    async def next_answer(self) -> Exchange:
        """The next request for an answer; those for the words of a turn are refused meanwhile."""
        while True:
            async with asyncio.timeout(WAIT_S):
                exchange = await self._requests.get()
            if exchange.path.endswith("completions"):
                return exchange
            await exchange.answer(404)

    @property
    def is_asked_nothing(self) -> bool:
        return self._requests.empty()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                exchange = await _request(reader, writer)
                if exchange.path.rpartition("/")[2] in ("models", "key"):
                    self.probe_paths.append(exchange.path)
                    await exchange.answer(self.probe_status, {"error": {"message": "a secret sk-123"}})
                    continue
                self.completions += exchange.path.endswith("completions")
                self._requests.put_nowait(exchange)
                await exchange.over.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def running_chat_peer() -> AsyncGenerator[ChatPeer]:
    """A peer on a free port."""
    peer = ChatPeer()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        with suppress(asyncio.CancelledError):
            await peer.serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield peer
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        if connections:
            await asyncio.wait(set(connections))
        await server.wait_closed()


def event(chunk: Json) -> bytes:
    """A chunk as it goes over the wire."""
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(**fields: Any) -> Json:
    """A chunk with something new."""
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def spoken(text: str, pcm: bytes) -> list[Json]:
    """Words and their sound."""
    sound = base64.b64encode(pcm).decode()
    return [delta(audio={"id": "audio_1", "transcript": text}), delta(audio={"data": sound})]


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(head[0].split(" ")[1], headers, body, reader, writer)
