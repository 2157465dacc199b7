"""Callers for `benchmarks.webrtc_calls`: many in one process, at little cost of their own.

aiortc makes the connection; after that each caller sends Opus packets that were encoded beforehand, and notes
when packets arrive, without a decoder, a buffer or a task for each.
"""

import asyncio
import fractions
import itertools
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.peers.speech import FRAME_S, spoken

PHASES = 4
CONNECT_S_MAX = 30.0
STALL_S_MAX = 0.1  # what is made up for at once
FRAME_TICKS = 960  # of 48 kHz
SSRC = 0x5EED
KEYS = 110
LATE_S = 2 * FRAME_S
"""A frame that comes longer than this after the one before it is late: that one lasts 20 ms."""


@dataclass(frozen=True)
class Heard:
    """What the callers heard in a while, of all calls together.

    Attributes:
        frames: Packets in a second.
        late_share: Which part of them was late.
    """

    frames: float
    late_share: float


class Silent(MediaStreamTrack):
    """Never has anything, so that aiortc's own sender rests."""

    kind = "audio"

    async def recv(self) -> av.AudioFrame:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


class Caller:
    """One end of a call."""

    def __init__(self) -> None:
        self.arrived = 0
        self.late = 0
        self._last_s = 0.0
        self._sent = 0
        self._payload_type = 0
        self._dtls: Any = None
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.addTrack(Silent())

    async def dial(self, answered: Callable[[str], Awaitable[str]]) -> None:
        """Call whoever answers the offer."""
        connection = self._connection
        connected = asyncio.Event()

        def changed() -> None:
            if connection.connectionState == "connected":
                connected.set()

        connection.on("connectionstatechange", changed)
        await connection.setLocalDescription(await connection.createOffer())
        answer = await answered(with_keys(connection.localDescription.sdp))
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(CONNECT_S_MAX):
            await connected.wait()
        self._payload_type = int(answer.partition("m=audio ")[2].split()[2])
        self._dtls = connection.getSenders()[0].transport
        self._dtls.transport._connection.data_received = self._take

    async def hang_up(self) -> None:
        """End the call."""
        await self._connection.close()

    async def say(self, packets: list[bytes]) -> None:
        """Send the next packet."""
        number = self._sent
        self._sent += 1
        header = struct.pack(
            "!BBHLL", 0x80, self._payload_type, number & 0xFFFF, number * FRAME_TICKS & 0xFFFFFFFF, SSRC
        )
        await self._dtls._send_rtp(header + packets[number % len(packets)])

    def _take(self, data: bytes, component: int) -> None:
        if not 127 < data[0] < 192 or 191 < data[1] < 224:
            return  # RTCP, or DTLS: nothing is answered
        now_s = time.perf_counter()
        self.late += self.arrived > 0 and now_s - self._last_s > LATE_S
        self.arrived += 1
        self._last_s = now_s


class Callers:
    """The callers of one server, all of whom speak all the time."""

    def __init__(self) -> None:
        self._packets = opus_packets()
        self._callers: list[Caller] = []
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._pacing = asyncio.create_task(self._pace())

    def __len__(self) -> int:
        return len(self._callers)

    async def dial(self, calls: int, answered: Callable[[str], Awaitable[str]]) -> None:
        """Have as many more callers."""
        for _ in range(calls):
            caller = Caller()
            await caller.dial(answered)
            self._callers.append(caller)

    async def heard(self, during: Awaitable[Any]) -> tuple[Any, Heard]:
        """Return what `during` returns, and what was heard meanwhile.

        Meanwhile the callers look at their sockets every 5 ms instead of being woken: else a packet costs its
        sender what waking a neighbour on the same machine costs, which may be more than all the rest.
        """
        began_s, arrived, late = time.perf_counter(), self._arrived(), self._late()
        self._sleep = sleep_blindly
        result = await during
        self._sleep = asyncio.sleep
        arrived = self._arrived() - arrived
        return result, Heard(
            frames=arrived / (time.perf_counter() - began_s),
            late_share=(self._late() - late) / max(arrived, 1),
        )

    async def leave(self) -> None:
        """Hang up."""
        self._pacing.cancel()
        await asyncio.gather(*(caller.hang_up() for caller in self._callers))

    def _arrived(self) -> int:
        return sum(caller.arrived for caller in self._callers)

    def _late(self) -> int:
        return sum(caller.late for caller in self._callers)

    async def _pace(self) -> None:
        due_s = time.perf_counter()
        for phase in itertools.cycle(range(PHASES)):
            due_s = max(due_s + FRAME_S / PHASES, time.perf_counter() - STALL_S_MAX)
            await self._sleep(due_s - time.perf_counter())
            for caller in itertools.islice(self._callers, phase, None, PHASES):
                await caller.say(self._packets)


def with_keys(offer: str) -> str:
    """Offer the keys of a telephone as events, as browsers do: else they are looked for in the sound."""
    keys = f"a=rtpmap:{KEYS} telephone-event/48000\r\n"
    return offer.replace(" 96 ", f" 96 {KEYS} ", 1).replace("a=rtpmap:96 ", f"{keys}a=rtpmap:96 ", 1)


async def sleep_blindly(delay_s: float) -> None:
    """Let the loop do what there is to do, then sleep without a look at its sockets."""
    for _ in range(3):  # a loop reads one datagram from each socket at a time
        await asyncio.sleep(0)
    time.sleep(max(delay_s, 0))  # noqa: ASYNC251


def opus_packets() -> list[bytes]:
    """Return the caller's speech as a browser would send it: 48 kHz, mono, 32 kb/s."""
    codec: Any = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.format, codec.layout, codec.bit_rate = 48_000, "s16", "mono", 32_000
    codec.time_base = fractions.Fraction(1, 48_000)
    codec.options = {"application": "voip"}
    packets: list[bytes] = []
    for number, pcm in enumerate(spoken(48_000)):
        frame: Any = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.pts = 48_000, number * FRAME_TICKS
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets
