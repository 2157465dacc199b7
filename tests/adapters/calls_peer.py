"""A provider's calls API beside its websocket, on one port: a scripted answer for each POST."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.adapters.peer import Peer, running_peer

ANSWER_SDP = "v=0\r\nanswer\r\n"


@dataclass
class Post:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What a POST gets. With status 0 it gets nothing, and the connection stays open."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


class CallsPeer:
    """Answers POSTs from `replies` by the end of their path; websockets go on to `peer`."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.posts: asyncio.Queue[Post] = asyncio.Queue()
        self.replies = {
            "/calls": Reply(201, {"Location": "/v1/realtime/calls/rtc_1"}, ANSWER_SDP.encode()),
            "/hangup": Reply(),
        }
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def post(self) -> Post:
        """The next request."""
        async with asyncio.timeout(5):
            return await self.posts.get()

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST"):
                await self._answer(head.decode(), reader, writer)
            else:
                await self._forward(head, reader, writer)
        writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = request_line.split()[1]
        self.posts.put_nowait(Post(path, headers, body))
        reply = next(reply for end, reply in self.replies.items() if path.endswith(end))
        if reply.status == 0:
            await reader.read()
            return
        fields = {"Content-Length": str(len(reply.body)), **reply.headers}
        sent = [f"HTTP/1.1 {reply.status} Reply", *(f"{name}: {value}" for name, value in fields.items())]
        writer.write("\r\n".join([*sent, "", ""]).encode() + reply.body)
        await writer.drain()

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.peer.port)
        onward_writer.write(head)
        try:
            await asyncio.gather(_pipe(reader, onward_writer), _pipe(onward_reader, writer))
        finally:
            for end in (onward_writer, writer):
                end.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_calls_peer() -> AsyncGenerator[CallsPeer]:
    async with running_peer() as peer:
        calls = CallsPeer(peer)
        serving: set[asyncio.Task[None]] = set()

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.create_task(calls.serve_one(reader, writer)))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        calls.port = server.sockets[0].getsockname()[1]
        yield calls
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
