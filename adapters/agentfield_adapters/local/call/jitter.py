"""A receive buffer that hands on a packet when it arrives, in place of the one aiortc has.

The stock buffer always waits for four packets (80 ms), and one lost packet makes it wait for sixteen and
throw away what came between. This one waits only for a packet that is missing, and then for two more.
"""

from __future__ import annotations

from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

REORDER_PACKETS = 2
_HALF = 0x8000
_RESTART_PACKETS = 500  # a jump of ten seconds is a new stream, not a loss

# aiortc's names for a receiver's buffer; a test holds them against the installed version.
BUFFER_ATTRIBUTE = "_RTCRtpReceiver__jitter_buffer"


class ArrivalBuffer:
    """Takes packets as they come and hands them on in order, each exactly once.

    Args:
        on_payload: Called with a packet's RTP timestamp and its payload.
    """

    def __init__(self, on_payload: Callable[[int, bytes], None]) -> None:
        self._on_payload = on_payload
        self._next: int | None = None
        self._held: dict[int, RtpPacket] = {}
        self.skipped_packets = 0

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet (aiortc's `JitterBuffer.add`); nothing is ever given to aiortc's own decoder."""
        sequence = packet.sequence_number
        ahead = 0 if self._next is None else (sequence - self._next) & 0xFFFF
        if self._next is None or _RESTART_PACKETS < ahead < _HALF:
            self._held.clear()
            self._next = sequence
        elif ahead >= _HALF:
            return False, None  # late: what it carried has been given up
        self._held[sequence] = packet
        self._hand_on()
        return False, None

    def _hand_on(self) -> None:
        while self._held:
            assert self._next is not None
            packet = self._held.pop(self._next, None)
            if packet is not None:
                self._on_payload(packet.timestamp, packet.payload)
            elif len(self._held) > REORDER_PACKETS:
                self.skipped_packets += 1
            else:
                return
            self._next = (self._next + 1) & 0xFFFF


def take_packets(receiver: RTCRtpReceiver, on_payload: Callable[[int, bytes], None]) -> ArrivalBuffer:
    """Have a receiver's packets handed to `on_payload` as they arrive, ahead of its decoder thread.

    Raises:
        RuntimeError: This aiortc has no such buffer: install the version that pyproject.toml asks for.
    """
    if not hasattr(receiver, BUFFER_ATTRIBUTE):
        raise RuntimeError("aiortc changed its receive buffer: install aiortc>=1.16,<1.17")
    buffer = ArrivalBuffer(on_payload)
    setattr(receiver, BUFFER_ATTRIBUTE, buffer)
    return buffer
