"""Keys of a telephone, sent as events in the stream of audio packets (RFC 4733)."""

from __future__ import annotations

DIGITS = "0123456789*#ABCD"
_END = 0x80
_PAYLOAD_BYTES = 4
_AUDIO_PACKETS_MAX = 10
"""After so many without news of an event, it has ended and the packets that said so are lost."""


class DigitReader:
    """Reports each key once: at the end of its event, or as soon as it is certain that the end was missed.

    An event is known by its RTP timestamp, which all of its packets share, also the repeated last one.
    """

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._digit: str | None = None  # of an event that has not been reported
        self._audio_packets = 0

    def event(self, timestamp: int, payload: bytes) -> str:
        """Take an event's packet and return the keys that it shows to have been pressed, mostly none."""
        if len(payload) < _PAYLOAD_BYTES or payload[0] >= len(DIGITS):
            return ""  # a hook flash, a fax machine, or nothing that can be read
        pressed = ""
        if timestamp != self._timestamp:
            pressed = self._take()
            self._timestamp, self._digit = timestamp, DIGITS[payload[0]]
        self._audio_packets = 0
        return pressed + self._take() if payload[1] & _END else pressed

    def audio(self) -> str:
        """Take notice of an audio packet; returns the key of an event whose end never came."""
        if self._digit is None:
            return ""
        self._audio_packets += 1
        return self._take() if self._audio_packets >= _AUDIO_PACKETS_MAX else ""

    def _take(self) -> str:
        digit, self._digit = self._digit, None
        return digit or ""
