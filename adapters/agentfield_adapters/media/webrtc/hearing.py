"""What a caller sends, as one stream of PCM without holes: lost packets recovered, concealed or silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from agentfield_adapters.media.libopus import Decoder, OpusError
from agentfield_adapters.media.webrtc.arrival import AudioPacket
from agentfield_adapters.media.webrtc.telephone_event import DigitReader

RTP_RATE_HZ = 48_000
FRAME_MS = 20
SILENT_AFTER_S = 0.2
SILENCE_MS_MAX = 5_000
"""How much silence stands in for a caller whose packets stopped: enough to end what they were saying."""

_FRAME_TICKS = RTP_RATE_HZ * FRAME_MS // 1000
_GAP_TICKS_MAX = RTP_RATE_HZ  # a longer pause is not filled
_CONCEALED_FRAMES_MAX = 4  # more of one sound is a drone
_HALF = 0x8000_0000


class Hearing:
    """Packets in order to PCM, each piece handed on as soon as it is known.

    Args:
        on_pcm: Takes mono int16 PCM, 20 ms at a time where the caller sends such packets.
        on_digit: Takes a key that was pressed; None: nobody asks for any.
        rate_hz: Of the PCM.
    """

    def __init__(
        self, on_pcm: Callable[[bytes], None], on_digit: Callable[[str], None] | None, *, rate_hz: int
    ) -> None:
        self._on_pcm = on_pcm
        self._on_digit = on_digit
        self._decoder = Decoder(rate_hz=rate_hz)
        self._frame_silence = bytes(rate_hz * FRAME_MS // 1000 * 2)
        self._ticks_per_sample = RTP_RATE_HZ // rate_hz
        self._event_types: Collection[int] = ()
        self._digits = DigitReader()
        self._expected: int | None = None
        self._heard_at = 0.0
        self._silent_ms = 0
        self._watch: asyncio.TimerHandle | None = None

    def expect_events(self, payload_types: Collection[int]) -> None:
        """Say which payload types carry keys of a telephone; all others are Opus."""
        self._event_types = payload_types

    def take(self, packet: AudioPacket) -> None:
        """Hear the next packet in order; one that is not what it should be is left out."""
        if packet.payload_type in self._event_types:
            digits = self._digits.event(packet.timestamp, packet.payload)
        else:
            digits = self._digits.audio()
            self._hear(packet.timestamp, packet.payload)
        for digit in digits:
            if self._on_digit is not None:
                self._on_digit(digit)

    def close(self) -> None:
        """Hear nothing more."""
        if self._watch is not None:
            self._watch.cancel()

    def _hear(self, timestamp: int, payload: bytes) -> None:
        missing = 0 if self._expected is None else (timestamp - self._expected) & 0xFFFF_FFFF
        if 0 < missing <= _GAP_TICKS_MAX:
            self._make_up_for(missing, payload)
            self._expected = timestamp
        try:
            pcm = self._decoder.decoded(payload)
        except OpusError:
            return  # the next packet makes up for this one
        self._expected = (timestamp + len(pcm) // 2 * self._ticks_per_sample) & 0xFFFF_FFFF
        self._on_pcm(pcm)
        self._heard_at = asyncio.get_running_loop().time()
        self._silent_ms = 0
        if self._watch is None:
            self._mind_silence()

    def _make_up_for(self, ticks: int, payload: bytes) -> None:
        """The packet before this one may be in this one; those before that are guessed, or silent."""
        lost_frames = ticks // _FRAME_TICKS
        concealed = min(lost_frames - 1, _CONCEALED_FRAMES_MAX)
        for _ in range(concealed):
            self._on_pcm(self._decoder.concealed(FRAME_MS))
        for _ in range(lost_frames - 1 - concealed):
            self._on_pcm(self._frame_silence)
        if rest := ticks % _FRAME_TICKS // self._ticks_per_sample:
            self._on_pcm(bytes(rest * 2))
        if lost_frames:
            self._on_pcm(self._recovered(payload))

    def _recovered(self, payload: bytes) -> bytes:
        try:
            return self._decoder.recovered(payload, FRAME_MS)
        except OpusError:
            return self._decoder.concealed(FRAME_MS)

    def _mind_silence(self) -> None:
        """Hand on silence while nothing arrives: else whoever waits for the end of a turn waits in vain."""
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(SILENT_AFTER_S, self._mind_silence)
        quiet_ms = int((loop.time() - self._heard_at) * 1000) - self._silent_ms
        if quiet_ms < SILENT_AFTER_S * 1000 or self._silent_ms >= SILENCE_MS_MAX:
            return
        frames = quiet_ms // FRAME_MS
        self._silent_ms += frames * FRAME_MS
        assert self._expected is not None
        self._expected = (self._expected + frames * _FRAME_TICKS) & 0xFFFF_FFFF
        for _ in range(frames):
            self._on_pcm(self._frame_silence)
