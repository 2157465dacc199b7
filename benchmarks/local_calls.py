"""What the local provider itself adds to a call, seen from the packets of a caller on the same machine.

Run: python benchmarks/local_calls.py [--calls 4]

Reply: last speech packet sent -> first speech packet received, less the silence setting. Jitter: a packet's
arrival -> its samples at the ears, ours against aiortc's own buffer in the same run. CPU: of the provider and
its helper processes per call, with every caller silent or being spoken to.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

from agentfield_adapters.local.ear_rate import EAR_RATE_HZ
from agentfield_adapters.media.webrtc.arrival import ArrivalBuffer, AudioPacket
from agentfield_adapters.media.webrtc.hearing import Hearing
from agentfield_adapters.media.webrtc.receiving import take_packets
from tests.local_provider.caller_peer import SESSION, CallerPeer
from tests.local_provider.provider_process import RunningProvider, running_provider

SILENCE_MS = 320
LOUD = 600
QUESTIONS = ("where is my order", "goodbye", "cancel order two", "what are your opening hours")
CPU_S = 10
STORY = "One two three four five six seven eight nine ten. " * 10


class Loudspeaker:
    """Notes when speech arrives, with no buffer of its own in the way."""

    def __init__(self, peer: CallerPeer) -> None:
        self.began_at = 0.0
        hearing = Hearing(self._take, None, rate_hz=EAR_RATE_HZ)
        take_packets(peer.connection.getTransceivers()[0].receiver, hearing.take)

    def _take(self, pcm: bytes) -> None:
        if not self.began_at and max(memoryview(pcm).cast("h")) > LOUD:
            self.began_at = time.monotonic()


async def reply_ms(provider: RunningProvider) -> list[float]:
    """Return what the provider adds to the silence setting, for each question of one call."""
    peer = CallerPeer()
    loudspeaker = Loudspeaker(peer)
    await peer.dial(provider, SESSION)
    added: list[float] = []
    for question in QUESTIONS * 3:
        loudspeaker.began_at = 0.0
        await peer.speak(question)
        await peer.until("output_audio_buffer.stopped")
        added.append((loudspeaker.began_at - peer.microphone.spoke_at) * 1000 - SILENCE_MS)
    await peer.hang_up()
    return added


async def cpu_percent(provider: RunningProvider, calls: int, *, speaking: bool) -> float:
    """Return how much of one core a call costs the provider's processes."""
    peers = [CallerPeer() for _ in range(calls)]
    for peer in peers:
        await peer.dial(provider, SESSION)
    if speaking:
        for peer in peers:
            peer.send("response.create", response={"instructions": f"Say exactly: {STORY}"})
    before, began = cpu_s(provider), time.monotonic()
    await asyncio.sleep(CPU_S)
    used = (cpu_s(provider) - before) / (time.monotonic() - began)
    await asyncio.gather(*(peer.hang_up() for peer in peers))
    return 100 * used / calls


def cpu_s(provider: RunningProvider) -> float:
    """Return the CPU seconds of the provider and its helper processes."""
    pid = provider.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    fields = [
        Path(f"/proc/{each}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        for each in (pid, *children)
    ]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def buffer_delay_packets(handed_on: Callable[[int], list[int]], lost: set[int]) -> list[int]:
    """Return by how many packets each packet that came out was behind the newest that went in."""
    delays: list[int] = []
    for sequence in range(2_000):
        if sequence not in lost:
            delays += [sequence - one for one in handed_on(sequence)]
    return delays


def our_buffer() -> Callable[[int], list[int]]:
    """Return what tells which packets come out when one goes in."""
    out: list[int] = []
    buffer = ArrivalBuffer(lambda packet: out.append(packet.sequence_number))

    def handed_on(sequence: int) -> list[int]:
        out.clear()
        buffer.add(AudioPacket(96, sequence, sequence * 960, b"x"))
        return out

    return handed_on


def stock_buffer() -> Callable[[int], list[int]]:
    """Return the same of aiortc's."""
    buffer = JitterBuffer(capacity=16, prefetch=4)

    def handed_on(sequence: int) -> list[int]:
        packet: Any = RtpPacket(sequence_number=sequence, timestamp=sequence * 960)
        packet._data = b"x"
        _, frame = buffer.add(packet)
        return [] if frame is None else [frame.timestamp // 960]

    return handed_on


def print_jitter(name: str, lost: set[int]) -> None:
    """Print the delay of both buffers, where a packet is 20 ms."""
    for which, handed_on in (("ours", our_buffer()), ("aiortc", stock_buffer())):
        delays = buffer_delay_packets(handed_on, lost)
        middle, most = statistics.median(delays) * 20, max(delays) * 20
        share = f"{len(delays)} of {2_000 - len(lost)} packets handed on"
        print(f"jitter, {name}, {which}: median {middle:.0f} ms, max {most} ms, {share}")


async def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=4, help="at a time, for the CPU figure")
    calls: int = parser.parse_args().calls
    print_jitter("no loss", set())
    print_jitter("2 % loss", set(range(25, 2_000, 50)))
    with running_provider("--seed", "7") as provider:
        added = await reply_ms(provider)
        each = " ".join(f"{value:.0f}" for value in sorted(added))
        print(f"reply: the provider adds {statistics.median(added):.0f} ms (median; all: {each})")
        for speaking in (False, True):
            percent = await cpu_percent(provider, calls, speaking=speaking)
            doing = "speaking" if speaking else "silent"
            print(f"CPU, {doing}: {percent:.1f} % of a core per call ({calls} calls)")


if __name__ == "__main__":
    asyncio.run(main())
