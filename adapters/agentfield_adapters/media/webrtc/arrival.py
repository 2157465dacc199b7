"""A receive buffer that hands on a packet when it arrives.

aiortc's own always waits for four packets (80 ms), and one lost packet makes it wait for sixteen and throw
away what came between. This one waits only for a packet that is missing, and only as long as packets on this
connection have shown to come late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

PATIENCE_PACKETS = 1
PATIENCE_PACKETS_MAX = 5
CALM_PACKETS = 1_500
"""Half a minute in which none came out of order: then it is waited for one packet less."""

_HALF = 0x8000
_RESTART_PACKETS = 500  # a jump of ten seconds is a new stream, not a loss
_SKIPPED_MAX = 64


class AudioPacket(NamedTuple):
    """What we use of an RTP packet (RFC 3550, section 5.1).

    Attributes:
        timestamp: In ticks of the format's clock.
    """

    payload_type: int
    sequence_number: int
    timestamp: int
    payload: bytes


class ArrivalBuffer:
    """Takes packets as they come and hands them on in order, each exactly once.

    Args:
        on_packet: Called with each packet, none of which is older than the one before.
    """

    def __init__(self, on_packet: Callable[[AudioPacket], None]) -> None:
        self._on_packet = on_packet
        self._next: int | None = None
        self._newest = 0
        self._held: dict[int, AudioPacket] = {}
        self._skipped: deque[int] = deque(maxlen=_SKIPPED_MAX)
        self._calm_packets = 0
        self.patience_packets = PATIENCE_PACKETS
        self.skipped_packets = 0

    def add(self, packet: AudioPacket) -> None:
        """Take a packet."""
        sequence = packet.sequence_number
        ahead = 0 if self._next is None else (sequence - self._next) & 0xFFFF
        if self._next is None or _RESTART_PACKETS < ahead < _HALF:
            self._held.clear()
            self._skipped.clear()
            self._next = self._newest = sequence
        elif ahead >= _HALF:  # what it carried has been given up, or heard already
            if sequence in self._skipped:
                self._skipped.remove(sequence)
                self._learn(sequence)
            return
        self._learn(sequence)
        self._held[sequence] = packet
        self._hand_on()

    def _learn(self, sequence: int) -> None:
        """Wait as long as the latest that came behind newer ones, and after a calm time less again."""
        behind = (self._newest - sequence) & 0xFFFF
        if 0 < behind < _HALF:
            self._calm_packets = 0
            self.patience_packets = max(self.patience_packets, min(behind, PATIENCE_PACKETS_MAX))
            return
        self._newest = sequence
        self._calm_packets += 1
        if self._calm_packets >= CALM_PACKETS:
            self._calm_packets = 0
            self.patience_packets = max(self.patience_packets - 1, 0)

    def _hand_on(self) -> None:
        while self._held:
            assert self._next is not None
            packet = self._held.pop(self._next, None)
            if packet is not None:
                self._on_packet(packet)
            elif len(self._held) > self.patience_packets:
                self.skipped_packets += 1
                self._skipped.append(self._next)
            else:
                return
            self._next = (self._next + 1) & 0xFFFF
