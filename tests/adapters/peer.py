"""A provider on a real socket that does exactly what a test tells it, also what no provider should do."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Json = dict[str, Any]


class PeerSocket:
    """The provider's end of one websocket."""

    def __init__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self._socket = socket
        transport = socket.transport
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.path = socket.request.path
        self.headers = socket.request.headers
        self.finished = asyncio.Event()

    async def give(self, *events: Json | bytes | str) -> None:
        """Send events; bytes and strings go out as they are, in text frames."""
        for event in events:
            data = event if isinstance(event, bytes | str) else json.dumps(event)
            await self._socket.send(data, text=True)

    async def take(self, kind: str) -> Json:
        """The next client event, which must be of this kind."""
        event = await self.take_any()
        assert event["type"] == kind, event
        return event

    async def take_any(self) -> Json:
        """The next client event."""
        async with asyncio.timeout(5):
            event: Json = json.loads(await self._socket.recv())
        return event

    async def takes_nothing(self) -> None:
        """The client has sent nothing: what it answers to a ping comes before anything newer."""
        await (await self._socket.ping())
        try:
            async with asyncio.timeout(0):
                unwanted = await self._socket.recv()
        except TimeoutError:
            return
        raise AssertionError(unwanted)

    async def greet(self, *, created: bool = True) -> Json:
        """Play the start of a session; the session object the client sent."""
        if created:
            await self.give({"type": "session.created", "session": {"id": "sess_1"}})
        update = await self.take("session.update")
        await self.give({"type": "session.updated", "session": {}})
        session: Json = update["session"]
        return session

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def reset(self) -> None:
        """Break the connection without a close frame."""
        self._transport.abort()

    def play_dead(self) -> None:
        """Keep the connection, but neither read nor answer anything."""
        self._transport.pause_reading()

    def wake(self) -> None:
        """Undo `play_dead`."""
        self._transport.resume_reading()

    async def gone(self) -> int | None:
        """Wait until the client is gone: the code it closed with."""
        try:
            while True:
                await self._socket.recv()
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd is not None else None


class Peer:
    """A server; each connection waits in `sockets` for the test."""

    def __init__(self) -> None:
        self.sockets: asyncio.Queue[PeerSocket] = asyncio.Queue()
        self.status: HTTPStatus | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def accept(self) -> PeerSocket:
        async with asyncio.timeout(5):
            return await self.sockets.get()

    async def serve_one(self, socket: ServerConnection) -> None:
        peer_socket = PeerSocket(socket)
        self.sockets.put_nowait(peer_socket)
        await peer_socket.finished.wait()

    def process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.status is None:
            return None
        return socket.respond(self.status, "canary: the provider's own words\n")


@asynccontextmanager
async def running_peer() -> AsyncGenerator[Peer]:
    peer = Peer()
    server = await serve(
        peer.serve_one,
        "127.0.0.1",
        0,
        process_request=peer.process_request,
        compression=None,
        max_size=None,
        ping_interval=None,
        close_timeout=0.2,
    )
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        for connection in server.connections:
            connection.transport.abort()
        server.close(close_connections=False)


async def both(first: Awaitable[Any], second: Awaitable[Any]) -> tuple[Any, Any]:
    """Run the two ends of an exchange side by side."""
    return tuple(await asyncio.gather(first, second))


# Events as the provider writes them


def error(code: str | None, *, event_id: str | None = None, message: str = "canary: words") -> Json:
    body = {"type": "invalid_request_error", "code": code, "message": message, "event_id": event_id}
    return {"type": "error", "event_id": "event_1", "error": body}


def created(response_id: str, metadata: dict[str, str] | None = None) -> Json:
    return {"type": "response.created", "response": {"id": response_id, "metadata": metadata}}


def done(response_id: str, status: str = "completed", metadata: dict[str, str] | None = None) -> Json:
    return {
        "type": "response.done",
        "response": {"id": response_id, "status": status, "metadata": metadata},
    }


def audio(response_id: str, pcm: bytes, *, item_id: str = "item_1") -> Json:
    return {
        "type": "response.output_audio.delta",
        "response_id": response_id,
        "item_id": item_id,
        "delta": base64.b64encode(pcm).decode(),
    }


def words(response_id: str, text: str, *, item_id: str = "item_1") -> Json:
    return {
        "type": "response.output_audio_transcript.delta",
        "response_id": response_id,
        "item_id": item_id,
        "delta": text,
    }


def call(response_id: str, call_id: str, *, status: str = "completed") -> Json:
    item = {
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": "look_up",
        "arguments": '{"a":1}',
    }
    return {"type": "response.output_item.done", "response_id": response_id, "item": item}
