"""Where agents connect: the websocket of the channel, and the protocol as JSON schema."""

import asyncio
import logging
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from agentfield_rt.channel.delivery import ProtocolBroken
from agentfield_rt.channel.frame import encode_frame, encode_message, frames_to_plane
from agentfield_rt.channel.message import VERSION
from agentfield_rt.channel.schema import channel_schema
from agentfield_rt.channel.to_agent import Refused
from agentfield_rt.channel.to_plane import Hello
from agentfield_rt.channel.wire import WireLost
from agentfield_rt.plane.channel.fleet import Fleet
from agentfield_rt.plane.errors import BadRequest, Busy, PlaneError
from agentfield_rt.plane.http.guards import is_same_origin

log = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1", tags=["channel"])

HELLO_MAX_S = 10.0


@router.get("/channel/schema")
async def schema() -> dict[str, Any]:
    """The messages of the handler channel as JSON schema, for an agent in any language."""
    return channel_schema()


@router.websocket("/nodes/{node_id}/channel")
async def channel(websocket: WebSocket, node_id: str) -> None:
    """The channel of one agent process; see `docs/reference/channel.md`."""
    if not is_same_origin(websocket.headers):
        await websocket.close(1008, "a page of another origin is no agent")
        return
    await websocket.accept()
    wire = ServerWire(websocket)
    fleet: Fleet = websocket.app.state.plane.fleet
    try:
        hello = await _hello(wire, node_id)
        await fleet.connect(hello, wire)
        await wire.close("the server stops, or the agent is connected by another wire")
    except PlaneError as error:
        await _refuse(wire, error)
    except ProtocolBroken as error:
        log.warning("the channel of %s is broken off: %s", node_id, error)
        await wire.close(str(error))
    except WireLost:
        await wire.close("the connection was lost")


async def _hello(wire: "ServerWire", node_id: str) -> Hello:
    try:
        async with asyncio.timeout(HELLO_MAX_S):
            first = frames_to_plane(await wire.receive()).message
    except TimeoutError:
        raise BadRequest(f"a hello comes within {HELLO_MAX_S:.0f} s") from None
    if not isinstance(first, Hello):
        raise BadRequest("the first message is hello")
    if first.version != VERSION:
        raise BadRequest(f"this server speaks version {VERSION} of the channel, not {first.version}")
    if first.registration.get("id") != node_id:
        raise BadRequest(f"the registration is not that of node '{node_id}'")
    return first


async def _refuse(wire: "ServerWire", error: PlaneError) -> None:
    refused = Refused(error=str(error), retryable=isinstance(error, Busy))
    try:
        await wire.send(encode_frame(encode_message(refused)))
    except WireLost:
        return
    await wire.close("refused")


class ServerWire:
    """A websocket that an agent opened; satisfies `Wire`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, frame: str) -> None:
        try:
            await self._websocket.send_text(frame)
        except (WebSocketDisconnect, RuntimeError) as error:  # the latter: it is closed already
            raise WireLost("the agent has closed the connection") from error

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WireLost(f"the agent has closed the connection ({message.get('code')})")
        frame: str | bytes | None = message.get("text") or message.get("bytes")
        return frame or ""

    async def close(self, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            try:
                await self._websocket.close(1008, reason[:120])
            except (WebSocketDisconnect, RuntimeError):
                log.debug("the connection was closed already")
