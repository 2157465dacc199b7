"""Where faults strike events: between a session and one client's socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from starlette.websockets import WebSocket

from agentfield_adapters.local.event_stream import EventFrame
from agentfield_adapters.local.faults.acts import (
    Act,
    CloseFrame,
    FallSilent,
    Hold,
    Passage,
    Pause,
    Reset,
    Send,
)
from agentfield_adapters.local.faults.damage import REALTIME
from agentfield_adapters.local.faults.fault import Where
from agentfield_adapters.local.faults.plan import FaultPlan, Strikes
from agentfield_adapters.local.faults.wire import WebSocketWire, wire_of
from agentfield_adapters.local.instrument.log import ConnectionLog

SILENT_S_MAX = 120.0  # then even a dead end is reset: nothing here lasts for ever


class _Header(msgspec.Struct):
    type: str = ""


_headers = msgspec.json.Decoder(_Header)


class Line:
    """One client's websocket, with the faults of its setup and the log of what passes."""

    def __init__(self, websocket: WebSocket, plan: FaultPlan, where: Where, log: ConnectionLog) -> None:
        self._websocket = websocket
        self._strikes = Strikes(plan, where)
        self._where = where
        self._log = log
        self._passage = Passage(REALTIME)

    def rearm(self, plan: FaultPlan) -> None:
        """Go on with the faults of another plan; their counts begin here."""
        self._strikes = Strikes(plan, self._where)

    def acts(self, frame: EventFrame) -> Sequence[Act]:
        """Return what is to be done for an event, now that it is its turn among all events."""
        if self._passage.is_over:
            return ()
        name = str(frame.event.__struct_config__.tag)
        fault = self._strikes.outgoing(name)
        self._log.sent(frame.text, fault)
        return self._passage.acts(frame.text, fault)

    def takes(self, data: str | bytes) -> bool:
        """Log a client's frame; False if a fault swallows it."""
        try:
            name = _headers.decode(data).type
        except (msgspec.MsgspecError, UnicodeDecodeError):
            name = ""
        fault = self._strikes.incoming(name)
        self._log.received(data, fault)
        return fault is None

    async def perform(self, act: Act) -> bool:
        """Do one act; False when nothing may follow it."""
        match act:
            case Send(data=str() as text):
                await self._websocket.send_text(text)
            case Send(data=bytes() as data, binary=True):
                await self._websocket.send_bytes(data)
            case Send(data=data):
                self._wire().write_text(data if isinstance(data, bytes) else data.encode())
            case Pause(ms):
                await asyncio.sleep(ms / 1000)
            case CloseFrame(code, reason):
                await self._websocket.close(code, reason)
                return False
            case Reset():
                self._wire().reset()
                return False
            case FallSilent(deaf):
                if deaf:
                    self._wire().play_dead()
                await asyncio.sleep(SILENT_S_MAX)  # cancelled when the client goes
                self._wire().reset()
                return False
            case Hold():
                pass  # was put aside by the passage
        return True

    def _wire(self) -> WebSocketWire:
        wire = wire_of(self._websocket)
        assert isinstance(wire, WebSocketWire)
        return wire
