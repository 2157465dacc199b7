"""What we send, heard by stock aiortc at the other end of a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender

from agentfield_adapters.media.webrtc import sending
from agentfield_adapters.media.webrtc.pacing import Pacer
from agentfield_adapters.media.webrtc.sending import (
    CALM_LOOKS,
    NAMES,
    PCM_RATE_HZ,
    OpusStream,
    send_from,
)

WAIT_S = 20
TONE_HZ = 440
FRAME_SAMPLES = PCM_RATE_HZ // 50
LOOK_FRAMES = 5


class Tone:
    """A source that never ends."""

    def __init__(self) -> None:
        self.given = 0

    def next_frame(self) -> bytes:
        at = np.arange(FRAME_SAMPLES) + self.given * FRAME_SAMPLES
        self.given += 1
        pcm: npt.NDArray[np.int16] = (8_000 * np.sin(2 * np.pi * TONE_HZ * at / PCM_RATE_HZ)).astype(np.int16)
        return pcm.tobytes()


@asynccontextmanager
async def call(
    source: Tone, *, on_failed: Callable[[], None] = lambda: None
) -> AsyncGenerator[tuple[RTCPeerConnection, RTCPeerConnection]]:
    """A connection that we send on, and the other end, which is aiortc as it comes."""
    ours, theirs = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    theirs.addTransceiver("audio", direction="recvonly")
    sender = ours.addTransceiver("audio", direction="sendonly").sender
    send_from(source, sender, Pacer(), on_failed=on_failed)
    await theirs.setLocalDescription(await theirs.createOffer())
    await ours.setRemoteDescription(theirs.localDescription)
    await ours.setLocalDescription(await ours.createAnswer())
    await theirs.setRemoteDescription(ours.localDescription)
    try:
        async with asyncio.timeout(WAIT_S):
            yield ours, theirs
    finally:
        await ours.close()
        await theirs.close()


def loudest_hz(frames: list[Any]) -> float:
    pcm = np.concatenate([frame.to_ndarray()[0][::2] for frame in frames]).astype(float)
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum)) * 48_000 / len(pcm)


async def stats_of(one_end: Any, kind: str) -> Any:
    """What aiortc tells of this kind; None if it knows nothing yet."""
    stats = await one_end.getStats()
    return next((one for one in stats.values() if one.type == kind), None)


@pytest.mark.asyncio
async def test_the_other_end_hears_what_the_source_gives() -> None:
    async with call(Tone()) as (_, theirs):
        track: Any = theirs.getReceivers()[0].track
        frames: list[Any] = [await track.recv() for _ in range(50)]

    steps = {later.pts - earlier.pts for earlier, later in pairwise(frames)}
    assert 960 in steps
    assert all(step % 960 == 0 for step in steps)  # more than one only after a stall of this machine
    assert loudest_hz(frames[10:]) == pytest.approx(TONE_HZ, abs=5)


@pytest.mark.asyncio
async def test_reports_tell_the_other_end_what_was_sent_and_when() -> None:
    source = Tone()
    async with call(source) as (ours, theirs):
        receiver: Any = theirs.getReceivers()[0]
        reported: Any = None
        while reported is None:
            await receiver.track.recv()
            reported = await stats_of(receiver, "remote-outbound-rtp")
        sent = await stats_of(ours.getSenders()[0], "outbound-rtp")

    assert 0 < reported.packetsSent <= sent.packetsSent <= source.given
    assert 0 < reported.bytesSent <= sent.bytesSent
    age_s = (reported.timestamp - reported.remoteTimestamp).total_seconds()
    assert 0 <= age_s < WAIT_S


@pytest.mark.asyncio
async def test_a_call_that_is_hung_up_leaves_the_clock() -> None:
    source, before = Tone(), asyncio.all_tasks()
    async with call(source) as (_, theirs):
        track: Any = theirs.getReceivers()[0].track
        await track.recv()

    given = source.given
    for _ in range(5):
        await asyncio.sleep(0)

    assert source.given == given
    assert asyncio.all_tasks() == before


@pytest.mark.asyncio
async def test_a_call_that_cannot_send_is_told_and_can_still_be_hung_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = asyncio.Event()

    def missing(**_: object) -> None:
        raise RuntimeError("there is no libopus")

    monkeypatch.setattr(sending, "Encoder", missing)
    async with asyncio.timeout(WAIT_S), call(Tone(), on_failed=failed.set) as (ours, _):
        await failed.wait()
        assert ours.connectionState == "connected"
    assert "a call cannot send" in caplog.text


@pytest.mark.asyncio
async def test_a_call_that_fails_while_it_sends_is_told_of_it() -> None:
    class Broken(Tone):
        def next_frame(self) -> bytes:
            if self.given == LOOK_FRAMES:
                raise RuntimeError("no more")
            return super().next_frame()

    failed = asyncio.Event()
    async with asyncio.timeout(WAIT_S), call(Broken(), on_failed=failed.set):
        await failed.wait()


class Wire:
    """Takes the place of a transport, below which everything is encrypted."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.sent: list[bytes] = []
        self._breaks = breaks

    async def _send_rtp(self, data: bytes) -> None:
        if self._breaks:
            raise ConnectionError
        self.sent.append(data)


class Sender:
    """Only what `OpusStream` uses of aiortc's."""

    def __init__(self, transport: Wire) -> None:
        self.transport = transport
        self._ssrc = 0x1234_5678
        self.lost_percent = 0
        for name in NAMES:
            vars(self).setdefault(name, 0)
        real: Any = RTCRtpSender("audio", _Idle())  # type: ignore[arg-type]
        for name in ("_RTCRtpSender__rtp_header_extensions_map", "_RTCRtpSender__mid"):
            vars(self)[name] = vars(real)[name]

    async def getStats(self) -> dict[str, Any]:
        report = SimpleNamespace(type="remote-inbound-rtp", fractionLost=round(self.lost_percent * 2.56))
        return {"transport": SimpleNamespace(type="transport"), "report": report}


class _Idle:
    state = "new"


def stream(wire: Wire) -> tuple[OpusStream, Sender]:
    sender = Sender(wire)
    return OpusStream(Tone(), sender, payload_type=111, on_failed=lambda: None), sender


def read(packet: bytes) -> tuple[bool, int, int, int]:
    """(marker, payload type, sequence, timestamp)"""
    return (
        packet[1] >= 0x80,
        packet[1] & 0x7F,
        int.from_bytes(packet[2:4], "big"),
        int.from_bytes(packet[4:8], "big"),
    )


@pytest.mark.asyncio
async def test_a_stall_is_a_gap_in_time_but_no_loss() -> None:
    """RFC 3550, section 5.1: a sequence number left out would be a lost packet; what goes on is marked."""
    wire = Wire()
    opus, _ = stream(wire)

    for skipped in (0, 0, 7, 0):
        await opus.send_next(skipped)

    packets = [read(packet) for packet in wire.sent]
    assert [marker for marker, *_ in packets] == [True, False, True, False]
    assert {payload_type for _, payload_type, *_ in packets} == {111}
    assert [(sequence - packets[0][2]) & 0xFFFF for _, _, sequence, _ in packets] == [0, 1, 2, 3]
    ticks = [(timestamp - packets[0][3]) & 0xFFFFFFFF for *_, timestamp in packets]
    assert ticks == [0, 960, 960 * 9, 960 * 10]


@pytest.mark.asyncio
async def test_what_could_not_be_sent_is_not_counted_as_sent() -> None:
    opus, sender = stream(Wire(breaks=True))

    await opus.send_next(0)

    assert vars(sender)["_RTCRtpSender__packet_count"] == 0


@pytest.mark.asyncio
async def test_numbers_and_times_wrap() -> None:
    wire = Wire()
    opus, _ = stream(wire)
    opus._sequence, opus._ticks = 0xFFFF, 0xFFFFFFFF - 100  # pyright: ignore[reportPrivateUsage]

    await opus.send_next(0)
    await opus.send_next(0)

    assert [read(packet)[2] for packet in wire.sent] == [0xFFFF, 0]
    assert read(wire.sent[1])[3] == 960 - 101


def is_low_delay(packet: bytes) -> bool:
    """RFC 6716, section 3.1: the configurations from 16 on are CELT, which carries no copies."""
    return packet[20] >> 3 >= 16 if packet[0] & 0x10 else packet[12] >> 3 >= 16


@pytest.mark.asyncio
async def test_packets_carry_copies_while_the_other_side_reports_loss_and_a_minute_longer() -> None:
    wire = Wire()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "LOSS_LOOK_FRAMES", LOOK_FRAMES)
        await copies_follow_reports(wire, *stream(wire))


async def copies_follow_reports(wire: Wire, opus: OpusStream, sender: Sender) -> None:
    async def looks(count: int, lost_percent: int) -> bool:
        """Whether, after so many looks at such a loss, packets can carry no copies."""
        sender.lost_percent = lost_percent
        for _ in range(count * LOOK_FRAMES):
            await opus.send_next(0)
        return is_low_delay(wire.sent[-1])

    assert await looks(2, 0)
    assert not await looks(1, 5)
    assert not await looks(CALM_LOOKS - 1, 0)
    assert not await looks(1, 1)
    assert not await looks(CALM_LOOKS - 1, 0)
    assert await looks(1, 0)


def test_another_aiortc_is_refused_before_a_call_is_made() -> None:
    with pytest.raises(RuntimeError, match=r"aiortc>=1\.16,<1\.17"):
        send_from(Tone(), object(), Pacer(), on_failed=lambda: None)  # type: ignore[arg-type]
