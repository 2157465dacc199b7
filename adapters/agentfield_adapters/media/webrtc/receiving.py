"""The other side's audio to us: RTP from its datagram, in the call that read it from the socket.

aiortc would queue the datagram, wake a task for it, build objects of it, and queue those for a thread that
decodes. It negotiates the stream, makes its keys and reports on it (RFC 3550, section 6.4.2) as before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Any

import pylibsrtp
from aiortc import RTCRtpReceiver
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import StreamStatistics

from agentfield_adapters.media.webrtc.arrival import ArrivalBuffer, AudioPacket

RTP_RATE_HZ = 48_000
DATAGRAM_BYTES_MAX = 1_500  # what one Ethernet frame carries; nothing in WebRTC is larger
SOURCES_MAX = 4
"""How many streams one caller may have come up with, one after another; each is reported on for ever."""

_HEADER = struct.Struct("!BBHLL")
_HAS_PADDING, _HAS_EXTENSION = 0x20, 0x10
_RTP, _RTP_END = 128, 192  # of the first byte (RFC 7983, section 7)
_RTCP, _RTCP_END = 192, 224  # of the second (RFC 5761, section 4)

# aiortc's and aioice's names; a test holds them against the installed versions.
STREAMS = "_RTCRtpReceiver__remote_streams"
STOP_DECODER = "_RTCRtpReceiver__stop_decoder"
SRTP, ICE_CONNECTION, DATAGRAMS = "_rx_srtp", "_connection", "data_received"


def take_packets(receiver: RTCRtpReceiver, on_packet: Callable[[AudioPacket], None]) -> None:
    """Have a receiver's packets handed to `on_packet`, in order, as they arrive.

    Must be called before the connection is negotiated.

    Raises:
        RuntimeError: This aiortc is another than ours.
    """
    transport: Any = receiver.transport
    for thing, name in (
        (receiver, STREAMS),
        (receiver, STOP_DECODER),
        (transport, SRTP),
        (transport.transport, ICE_CONNECTION),
        (getattr(transport.transport, ICE_CONNECTION, None), DATAGRAMS),
    ):
        if not hasattr(thing, name):
            raise RuntimeError(f"aiortc's receiver has no {name}: install aiortc>=1.16,<1.17")
    reader = PacketReader(receiver, ArrivalBuffer(on_packet).add)
    start = receiver.receive

    async def receive(parameters: RTCRtpReceiveParameters) -> None:
        await start(parameters)
        getattr(receiver, STOP_DECODER)()
        reader.begin({codec.payloadType for codec in parameters.codecs if codec.payloadType is not None})

    receiver.receive = receive  # type: ignore[method-assign]  # called once connected, when there are keys


class PacketReader:
    """Reads the RTP of one receiver from its datagrams.

    Args:
        on_packet: Takes each packet, in the order of arrival.
    """

    def __init__(self, receiver: Any, on_packet: Callable[[AudioPacket], None]) -> None:
        self._receiver = receiver
        self._on_packet = on_packet
        self._streams: dict[int, StreamStatistics] = getattr(receiver, STREAMS)
        self._payload_types: Collection[int] = ()
        self._srtp: Any = None
        self._connection: Any = None
        self._stand_in_front()

    def begin(self, payload_types: Collection[int]) -> None:
        """Read from now on, when there are keys.

        Args:
            payload_types: What was agreed on; anything else is dropped.
        """
        self._stand_in_front()
        self._payload_types = payload_types
        self._srtp = getattr(self._receiver.transport, SRTP)

    def _stand_in_front(self) -> None:
        """Take the receiver's datagrams before aiortc; a data channel may have changed whose they are."""
        connection = getattr(self._receiver.transport.transport, ICE_CONNECTION)
        if connection is not self._connection:
            self._connection = connection
            self._others: Callable[[bytes, int], None] = getattr(connection, DATAGRAMS)
            setattr(connection, DATAGRAMS, self.take)

    def take(self, data: bytes, component: int) -> None:
        """Take a datagram that is not STUN; what is not RTP is aiortc's."""
        if not 2 <= len(data) <= DATAGRAM_BYTES_MAX:
            return  # aiortc's task would end with these, whoever sent them
        if self._srtp is None or not _RTP <= data[0] < _RTP_END or _RTCP <= data[1] < _RTCP_END:
            self._others(data, component)
            return
        try:
            packet = self._srtp.unprotect(data)
        except pylibsrtp.Error:
            return  # not from the other side, or for a second time
        self._read(packet)

    def _read(self, data: bytes) -> None:
        if len(data) < _HEADER.size:
            return
        flags, kind, sequence_number, timestamp, source = _HEADER.unpack_from(data)
        begin = _HEADER.size + 4 * (flags & 0x0F)
        if flags & _HAS_EXTENSION:
            begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4])
        padding_bytes = data[-1] or len(data)  # it counts itself: of none, nothing is left that can be read
        end = len(data) - (padding_bytes if flags & _HAS_PADDING else 0)
        packet = AudioPacket(kind & 0x7F, sequence_number, timestamp, data[begin:end])
        if begin > end or packet.payload_type not in self._payload_types:
            return
        stream = self._streams.get(source)
        if stream is None:
            if len(self._streams) >= SOURCES_MAX:
                return
            stream = self._streams[source] = StreamStatistics(RTP_RATE_HZ)
        stream.add(packet)  # type: ignore[arg-type]  # it looks at number and time only
        self._on_packet(packet)
