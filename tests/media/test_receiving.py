"""What we make of datagrams: the same as aiortc's own parser where it is audio, nothing where it is not."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pylibsrtp
import pytest
from aiortc.rtp import RtpPacket
from hypothesis import example, given
from hypothesis import strategies as st

from agentfield_adapters.media.webrtc import receiving
from agentfield_adapters.media.webrtc.arrival import AudioPacket
from agentfield_adapters.media.webrtc.receiving import (
    DATAGRAM_BYTES_MAX,
    SOURCES_MAX,
    PacketReader,
    take_packets,
)
from tests.media.stock_caller import stock_caller

OPUS = 111


class NoKeys:
    """SRTP that encrypts nothing, and refuses what begins as a forgery does here."""

    def unprotect(self, data: bytes) -> bytes:
        if data.endswith(b"forged"):
            raise pylibsrtp.Error
        return data


class Connection:
    """aioice's, as far as it is used here."""

    def __init__(self) -> None:
        self.left: list[bytes] = []

    def data_received(self, data: bytes, component: int) -> None:
        self.left.append(data)


class Receiver:
    """aiortc's, as far as it is used here."""

    def __init__(self) -> None:
        self.ice = Connection()
        self.streams: dict[int, Any] = {}
        setattr(self, receiving.STREAMS, self.streams)
        self.transport = SimpleNamespace(_rx_srtp=NoKeys(), transport=SimpleNamespace(_connection=self.ice))


class Reading:
    """A reader, what it hands on, and what it leaves to aiortc."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.packets: list[AudioPacket] = []
        self.reader = PacketReader(self.receiver, self.packets.append)
        self.reader.begin({OPUS})

    def take(self, data: bytes) -> None:
        self.receiver.ice.data_received(data, 1)


def datagram(number: int = 1, *, source: int = 7, payload: bytes = b"opus") -> bytes:
    return RtpPacket(OPUS, 0, number, number * 960, source, payload).serialize()


@example(csrc=[1], extension=bytes(4), padding=4, payload=b"opus")
@given(
    csrc=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15),
    extension=st.none() | st.integers(0, 8).map(lambda words: bytes(words * 4)),
    padding=st.integers(0, 20),
    payload=st.binary(max_size=100),
)
def test_a_packet_is_read_as_aiortc_reads_it(
    csrc: list[int], extension: bytes | None, padding: int, payload: bytes
) -> None:
    sent = RtpPacket(OPUS, 1, 65_535, 0xFFFFFFFF, 7, payload)
    sent.csrc, sent.padding_size = csrc, padding
    data = sent.serialize()
    if extension is not None:
        begin = 12 + 4 * len(csrc)
        header = b"\xbe\xde" + (len(extension) // 4).to_bytes(2)
        data = bytes([data[0] | 0x10]) + data[1:begin] + header + extension + data[begin:]

    reading = Reading()
    reading.take(data)

    assert reading.packets == [AudioPacket(OPUS, 65_535, 0xFFFFFFFF, payload)]


@example(b"\xa0" + bytes([OPUS]) + bytes(10))
@given(st.binary(max_size=80).map(lambda tail: bytes([0x80 | (tail[0] & 0x3F if tail else 0), OPUS]) + tail))
def test_what_aiortc_cannot_read_is_dropped_and_the_rest_is_read_alike(data: bytes) -> None:
    reading = Reading()
    reading.take(data)
    try:
        packet = RtpPacket.parse(data)
    except (ValueError, IndexError):
        assert not reading.packets
        return
    assert [one.payload for one in reading.packets] == [packet.payload]


@given(st.binary(max_size=2_000))
def test_no_datagram_raises(data: bytes) -> None:
    Reading().take(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", datagram(payload=bytes(DATAGRAM_BYTES_MAX)), datagram() + b"forged"],
    ids=["empty", "one byte", "too long", "not from the other side"],
)
def test_what_would_end_aiortcs_task_goes_nowhere(data: bytes) -> None:
    reading = Reading()
    reading.take(data)
    assert (reading.packets, reading.receiver.ice.left) == ([], [])


@pytest.mark.parametrize(
    "data",
    [b"\x16\xfe\xfd dtls", b"\x80\xc8 a report", b"\x80\xcb goodbye"],
    ids=["DTLS", "sender report", "goodbye"],
)
def test_what_is_no_audio_is_aiortcs(data: bytes) -> None:
    reading = Reading()
    reading.take(data)
    assert (reading.packets, reading.receiver.ice.left) == ([], [data])


def test_a_format_that_was_not_agreed_on_is_dropped() -> None:
    reading = Reading()
    reading.take(RtpPacket(OPUS - 1, 0, 1, 960, 7, b"video?").serialize())
    assert not reading.packets and not reading.receiver.streams


def test_a_caller_cannot_make_us_report_on_streams_without_end() -> None:
    reading = Reading()
    for source in range(100):
        reading.take(datagram(source=source))
    assert len(reading.receiver.streams) == len(reading.packets) == SOURCES_MAX


def test_another_aiortc_is_refused_before_a_call_is_made() -> None:
    with pytest.raises(RuntimeError, match=r"aiortc>=1\.16,<1\.17"):
        take_packets(Receiver(), lambda packet: None)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_real_call_is_heard_and_reported_on_without_a_thread_for_it() -> None:
    """At the other end is stock aiortc, which loses every tenth packet on the way and is told so."""
    async with stock_caller(lost_every=10) as caller:
        await caller.until(lambda: len(caller.heard) >= 60)
        numbers = [packet.sequence_number for packet in caller.heard]
        assert numbers == sorted(set(numbers))
        report: Any = await caller.report_on("remote-inbound-rtp")
        assert report.packetsLost > 0
        assert 0 < report.fractionLost < 0.3 * 256
        assert not [thread for thread in threading.enumerate() if "decoder" in thread.name]


def test_before_there_are_keys_only_what_would_end_aiortcs_task_is_dropped() -> None:
    receiver, packets = Receiver(), list[AudioPacket]()
    PacketReader(receiver, packets.append)
    for data in (b"", datagram(), b"\x16\xfe\xfd dtls", bytes(DATAGRAM_BYTES_MAX + 1)):
        receiver.ice.data_received(data, 1)
    assert receiver.ice.left == [datagram(), b"\x16\xfe\xfd dtls"]
    assert not packets


def test_a_receiver_that_was_given_another_transport_is_read_there() -> None:
    receiver, packets = Receiver(), list[AudioPacket]()
    reader = PacketReader(receiver, packets.append)
    receiver.transport.transport._connection = bundled = Connection()
    reader.begin({OPUS})
    bundled.data_received(datagram(), 1)
    assert len(packets) == 1


@pytest.mark.asyncio
async def test_a_stranger_who_knows_the_port_cannot_end_the_call() -> None:
    async with stock_caller() as caller:
        await caller.until(lambda: len(caller.heard) >= 3)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for data in (
                b"",
                b"\x80",
                datagram(),
                bytes([0x80]) * 3_000,
                b"\x80\xc8" + bytes(2_000),
                b"\x16" * 9,
            ):
                stranger.sendto(data, caller.our_address)
        before = len(caller.heard)
        await caller.until(lambda: len(caller.heard) >= before + 20)
    await asyncio.sleep(0)
