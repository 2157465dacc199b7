"""Where faults strike the pieces of a streamed completion: between an answer and one request's connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import Request

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
from agentfield_adapters.local.faults.chunk_damage import CHAT, piece_type
from agentfield_adapters.local.faults.fault import Where
from agentfield_adapters.local.faults.line import SILENT_S_MAX
from agentfield_adapters.local.faults.plan import FaultPlan, Strikes
from agentfield_adapters.local.faults.wire import wire_of
from agentfield_adapters.local.instrument.log import ConnectionLog

_PREFIX, _SUFFIX = b"data: ", b"\n\n"


class StreamLine:
    """One answer's stream, with the faults of its setup and the log of what passes."""

    def __init__(self, request: Request, plan: FaultPlan, where: Where, log: ConnectionLog) -> None:
        self._request = request
        self._where = where
        self._strikes = Strikes(plan, where)
        self._passage = Passage(CHAT)
        self._log = log

    def rearm(self, plan: FaultPlan) -> None:
        """Go on with the faults of another plan; their counts begin here."""
        self._strikes = Strikes(plan, self._where)

    def takes(self, body: bytes) -> None:
        """Log the request."""
        self._log.received(body, None)

    async def carried(self, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """Yield what is left of an answer's pieces; comments are none of them."""
        async for piece in pieces:
            if not piece.startswith(_PREFIX):
                yield piece
                continue
            text = piece.removeprefix(_PREFIX).removesuffix(_SUFFIX).decode()
            fault = self._strikes.outgoing(piece_type(text))
            self._log.sent(text, fault)
            for act in self._passage.acts(text, fault):
                match act:
                    case Send(data):
                        yield _PREFIX + (data if isinstance(data, bytes) else data.encode()) + _SUFFIX
                    case _:
                        await self._perform(act)
            if self._passage.is_over:
                return

    async def _perform(self, act: Act) -> None:
        match act:
            case Pause(ms):
                await asyncio.sleep(ms / 1000)
            case Reset():
                wire_of(self._request).reset()
                await asyncio.sleep(0)  # or the server writes to what is closed
            case FallSilent():  # deaf or not: the client has nothing more to send
                await asyncio.sleep(SILENT_S_MAX)  # cancelled when the client goes
                wire_of(self._request).reset()
            case CloseFrame() | Hold() | Send():
                pass  # the stream just ends; what is held was put aside by the passage
