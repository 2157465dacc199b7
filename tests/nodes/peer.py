"""A peer that listens on a real socket and answers what a test says, byte for byte."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True)
class Heard:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def answer(status: int, body: Any = None, **headers: str) -> bytes:
    """An HTTP answer; a body that is no bytes is written as JSON."""
    payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(payload)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + payload


NOTHING = b""
"""In place of an answer: the connection is closed."""


@dataclass
class Peer:
    """What it heard, and what it answers: by path, or else `default`."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list[Heard])
    answers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    default: bytes = field(default_factory=lambda: answer(200, {}))
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None
    closes: bool = False
    when_heard: Callable[[Heard], None] = lambda _: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await self._read(reader)) is not None:
                self.heard.append(request)
                self.when_heard(request)
                self.asked.set()
                if self.hold is not None:
                    await self.hold.wait()
                said = self.answers.get(request.path, self.default)
                if said == NOTHING:
                    break
                writer.write(said)
                await writer.drain()
                if self.closes:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Heard | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Heard(method, path, headers, body)


@asynccontextmanager
async def peer(host: str = "127.0.0.1") -> AsyncGenerator[Peer]:
    """A peer on a free port, gone at the end with every connection to it."""
    it = Peer()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        await it.serve(reader, writer)

    server = await asyncio.start_server(serve, host, 0)
    port = server.sockets[0].getsockname()[1]
    it.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        yield it
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()
