"""openai/websocket and a scripted provider, each at one end of a real socket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agentfield_adapters.openai import websocket_adapter
from agentfield_rt.errors import CloseReason, ConnectionLost
from agentfield_rt.frames import (
    Notice,
    OutputAudio,
    ProviderEvent,
    ResponseStarted,
)
from agentfield_rt.ports import (
    Connection,
    ConnectRequest,
    ProviderAdapter,
    ProviderSettings,
    SessionConfig,
    ToolSpec,
)
from tests.adapters import peer as wire
from tests.adapters.peer import Json, Peer, PeerSocket, both

KEY = "sk-canary-key"
MS = bytes(48)
REQUEST = ConnectRequest(
    session_id="s1",
    config=SessionConfig(
        model="gpt-test",
        voice="marin",
        instructions="Take orders.",
        phrases=("a <drink> please",),
        rules={"drink": "coffee | tea"},
        turn_detection={"type": "server_vad", "silence_duration_ms": 320},
        tools=(ToolSpec(name="look_up", description="Looks up.", parameters={"type": "object"}),),
    ),
)


def adapter_for(peer: Peer) -> ProviderAdapter:
    return websocket_adapter(ProviderSettings(base_url=peer.url, api_key=KEY))


class Line:
    """A connected adapter and the provider's end of its socket."""

    def __init__(self, adapter: ProviderAdapter, socket: PeerSocket, connection: Connection) -> None:
        self.adapter = adapter
        self.socket = socket
        self.connection = connection

    async def next(self, count: int = 1) -> list[ProviderEvent]:
        """The next events that are not mere notices."""
        events: list[ProviderEvent] = []
        async with asyncio.timeout(5):
            while len(events) < count:
                received = await self.adapter.receive(demand=1)
                events += [event for event in received if not isinstance(event, Notice)]
        return events

    async def lost(self) -> ConnectionLost:
        """Receive to the end."""
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionLost) as raised:
                while True:
                    await self.adapter.receive(demand=100)
        return raised.value


async def greeted(peer: Peer) -> PeerSocket:
    socket = await peer.accept()
    await socket.greet()
    return socket


async def speaking(line: Line, *, ms: int, ended: bool = False) -> None:
    await line.socket.give(wire.created("r"), wire.audio("r", MS * ms))
    assert await line.next(2) == [ResponseStarted("r"), OutputAudio("r", "item_1", MS * ms)]
    if ended:
        await line.socket.give(wire.done("r"))
        await line.next()


@asynccontextmanager
async def lined(
    peer: Peer, config: SessionConfig, *, session: Json | None = None
) -> AsyncGenerator[tuple[Line, Json]]:
    """A line for a session of its own, and the session object it asked for; `session` is what it is told."""
    adapter = websocket_adapter(ProviderSettings(base_url=peer.url, api_key=KEY))

    async def provider() -> tuple[PeerSocket, Json]:
        socket = await peer.accept()
        await socket.give({"type": "session.created", "session": {"id": "sess_1", **(session or {})}})
        return socket, await socket.greet(created=False)

    connected, (socket, asked) = await both(adapter.connect(replace(REQUEST, config=config)), provider())
    try:
        yield Line(adapter, socket, connected), asked
    finally:
        await adapter.close(CloseReason.NORMAL)
