"""A vendor over a real socket: asks what to do with a call, streams it, plays what comes, returns marks."""

import asyncio
import base64
import contextlib
import json
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.plane.serving import Served
from tests.telephony.vendors import Vendor

PUBLIC_URL = "https://voice.example.com"
TARGET = "desk.phone"
CODES_PER_S = 8_000


def address(vendor: Vendor, target: str = TARGET) -> str:
    """Where the vendor is told to reach a line, without a scheme."""
    return f"{urlsplit(PUBLIC_URL).netloc}/api/v1/telephony/{vendor.name}/{target}"


def ask(server: Served, vendor: Vendor, target: str = TARGET) -> httpx.Response:
    """The request that asks what to do with a call."""
    body, headers = vendor.request(f"https://{address(vendor, target)}")
    return server.client.post(f"/api/v1/telephony/{vendor.name}/{target}", content=body, headers=headers)


@dataclass(frozen=True)
class Told:
    """What a document tells the vendor to do."""

    url: str
    parameters: Mapping[str, str]


def told(document: str) -> Told:
    stream = ET.fromstring(document).find("./Connect/Stream")
    assert stream is not None, document
    parameters = {part.attrib["name"]: part.attrib["value"] for part in stream.findall("Parameter")}
    return Told(stream.attrib["url"], parameters)


@dataclass
class Phone:
    """The vendor's end of a stream. It plays in real time and keeps what it was sent.

    Attributes:
        returns_marks: Whether marks come back, as they should.
        said: Every message that came, decoded.
        closed: The code that the server closed the socket with.
    """

    vendor: Vendor
    socket: ClientConnection
    tasks: asyncio.TaskGroup
    returns_marks: bool = True
    said: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    waiting: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    plays_until_s: float = 0.0
    closed: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(self, *messages: str) -> None:
        for message in messages:
            await self.socket.send(message)

    async def listen(self) -> None:
        """Take what comes until the socket is closed."""
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                await self._take(json.loads(text))
        if not self.closed.done():
            self.closed.set_result(self.socket.close_code or 0)
        async with self._came:
            self._came.notify_all()

    async def _take(self, message: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        match message["event"]:
            case "media":
                codes = base64.b64decode(message["media"]["payload"])
                self.plays_until_s = max(self.plays_until_s, now) + len(codes) / CODES_PER_S
            case "mark":
                name = message["mark"]["name"]
                self.waiting.append((max(self.plays_until_s, now), name))
                loop.call_at(self.plays_until_s, self._due)
            case "clear":
                self.plays_until_s = now
                self.waiting = [(now, name) for _, name in self.waiting]
                loop.call_soon(self._due)
            case _:
                raise AssertionError(f"no vendor takes {message['event']}")
        async with self._came:
            self.said.append(message)
            self._came.notify_all()

    def _due(self) -> None:
        now = asyncio.get_running_loop().time() + 0.001
        while self.waiting and self.waiting[0][0] <= now:
            _, name = self.waiting.pop(0)
            if self.returns_marks and not self.closed.done():
                self.tasks.create_task(self._return(name))

    async def _return(self, name: str) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(self.vendor.mark(name))

    async def hears(self, event: str, *, times: int = 1) -> None:
        """Return once so many messages of an event have come."""
        async with self._came:
            await self._came.wait_for(lambda: self.heard(event) >= times or self.closed.done())
        assert self.heard(event) >= times, (event, self.said)

    def names(self) -> list[str]:
        """Of the marks that came."""
        return [message["mark"]["name"] for message in self.said if message["event"] == "mark"]

    def heard(self, event: str) -> int:
        return sum(message["event"] == event for message in self.said)


@asynccontextmanager
async def opened(
    server: Served, vendor: Vendor, *, target: str = TARGET, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[Phone]:
    """A stream that the vendor has opened and nothing more."""
    given = vendor.opening(f"wss://{address(vendor, target)}") if headers is None else headers
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/telephony/{vendor.name}/{target}"
    async with asyncio.TaskGroup() as tasks, connect(url, additional_headers=given, proxy=None) as socket:
        phone = Phone(vendor, socket, tasks)
        tasks.create_task(phone.listen())
        yield phone


@asynccontextmanager
async def called(server: Served, vendor: Vendor, *, target: str = TARGET) -> AsyncGenerator[Phone]:
    """A call that comes in and is streamed: from the vendor's request to its first audio."""
    answer = await asyncio.to_thread(ask, server, vendor, target)
    assert answer.status_code == 200, answer.text
    what = told(answer.text)
    assert what.url == f"wss://{address(vendor, target)}"
    async with opened(server, vendor, target=target) as phone:
        await phone.send(vendor.connected(), vendor.start(what.parameters), vendor.media())
        yield phone
