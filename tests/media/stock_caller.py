"""A call in which aiortc, as it comes, sends a tone, and we read what arrives."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack

from agentfield_adapters.media.webrtc.arrival import AudioPacket
from agentfield_adapters.media.webrtc.receiving import take_packets

WAIT_S = 20


class StockCaller:
    """Both ends.

    Attributes:
        heard: What arrived at ours.
    """

    def __init__(self, lost_every: int) -> None:
        self._theirs, self._ours = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        self._lost_every = lost_every
        self._sent = 0
        self._came = asyncio.Event()
        self.heard: list[AudioPacket] = []

    async def connect(self) -> None:
        self._theirs.addTrack(AudioStreamTrack())
        take_packets(self._ours.addTransceiver("audio", direction="recvonly").receiver, self._hear)
        await self._theirs.setLocalDescription(await self._theirs.createOffer())
        await self._ours.setRemoteDescription(self._theirs.localDescription)
        await self._ours.setLocalDescription(await self._ours.createAnswer())
        await self._theirs.setRemoteDescription(self._ours.localDescription)
        transport = self._theirs.getSenders()[0].transport
        send = transport._send_rtp

        async def send_most(data: bytes) -> None:
            self._sent += 1
            if not self._lost_every or self._sent % self._lost_every:
                await send(data)

        transport._send_rtp = send_most  # type: ignore[method-assign]

    async def close(self) -> None:
        await self._theirs.close()
        await self._ours.close()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait for something that a packet brings about."""
        async with asyncio.timeout(WAIT_S):
            while not fact():
                self._came.clear()
                await self._came.wait()

    async def report_on(self, kind: str) -> Any:
        """What aiortc at the other end knows of this kind, as soon as it knows it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                stats: dict[str, Any] = dict(await self._theirs.getSenders()[0].getStats())
                for one in stats.values():
                    if one.type == kind and one.packetsLost:
                        return one
                self._came.clear()
                await self._came.wait()

    @property
    def our_address(self) -> tuple[str, int]:
        """Where our socket is."""
        ice: Any = self._ours.getReceivers()[0].transport.transport
        pair = ice._connection._nominated[1]
        return pair.local_addr[0], pair.local_addr[1]

    def _hear(self, packet: AudioPacket) -> None:
        self.heard.append(packet)
        self._came.set()


@asynccontextmanager
async def stock_caller(*, lost_every: int = 0) -> AsyncGenerator[StockCaller]:
    """A connected call; of what the caller sends every so many packets are lost."""
    caller = StockCaller(lost_every)
    try:
        await caller.connect()
        yield caller
    finally:
        await caller.close()
