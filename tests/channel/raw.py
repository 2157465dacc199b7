"""An agent that is nothing but the messages a test sends: it may say whatever it likes."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from agentfield_rt import Agent
from agentfield_rt.agent.registration import registration_of
from agentfield_rt.channel.wire import WireLost
from agentfield_rt.plane.channel.fleet import Fleet
from tests.channel.wires import MemoryWire, serve, wire_pair


class RawAgent:
    """One process of the node `node`, on one wire after another.

    Attributes:
        channel_id: From the last welcome.
        received: The last seq of the plane's.
    """

    def __init__(self, fleet: Fleet, instance_id: str = "inst_1", node_id: str = "node") -> None:
        self.fleet = fleet
        self.instance_id = instance_id
        self.channel_id: str | None = None
        self.received = 0
        self.sent = 0
        self.wire: MemoryWire
        self._registration = registration_of(_of_sessions(node_id), instance_id=instance_id)
        self._serving: list[asyncio.Task[None]] = []

    async def dial(self) -> None:
        """Another wire."""
        self.wire, there = wire_pair()
        self._serving.append(asyncio.create_task(serve(self.fleet, there)))

    async def hello(self, **more: Any) -> dict[str, Any]:
        """Come, on another wire, and return the answer."""
        await self.dial()
        hello = {"type": "hello", "registration": self._registration, "instance_id": self.instance_id}
        known = {"channel_id": self.channel_id, "received": self.received}
        await self.wire.send(json.dumps({"message": hello | known | more}))
        answer = await self.message()
        if answer["type"] == "welcome":
            self.channel_id = answer["channel_id"]
            if not answer["resumed"]:
                self.received = self.sent = 0
        return answer

    async def say(self, type_: str, **members: Any) -> None:
        """Send the next message."""
        self.sent += 1
        message = {"type": type_, **members}
        await self.wire.send(json.dumps({"seq": self.sent, "ack": self.received, "message": message}))

    async def message(self, type_: str | None = None) -> dict[str, Any]:
        """The next message, of a type; frames without one, and other messages, are passed over."""
        while True:
            frame = json.loads(await self.wire.receive())
            self.received = max(self.received, frame.get("seq", 0))
            message: dict[str, Any] = frame.get("message", {})
            if message and type_ in (None, message["type"]):
                return message

    async def acknowledge(self) -> None:
        """Tell how much is here."""
        await self.wire.send(json.dumps({"ack": self.received}))

    async def hung_up_on(self) -> None:
        """Return when the plane has closed the wire."""
        while True:
            try:
                await self.wire.receive()
            except WireLost:
                return

    async def close(self) -> None:
        self.wire.cut()
        await asyncio.gather(*self._serving)


def _of_sessions(node_id: str) -> Agent:
    app = Agent(node_id)

    @app.session("voice", provider="local", transport="websocket")
    async def voice(_: object) -> None: ...

    return app


@asynccontextmanager
async def raw_agent(fleet: Fleet, instance_id: str = "inst_1", **more: Any) -> AsyncGenerator[RawAgent]:
    """An agent that has been welcomed."""
    agent = RawAgent(fleet, instance_id)
    welcome = await agent.hello(**more)
    assert welcome["type"] == "welcome", welcome
    try:
        yield agent
    finally:
        await agent.close()
