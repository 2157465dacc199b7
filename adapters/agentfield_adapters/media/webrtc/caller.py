"""The media of one caller of the runtime (`CallerMedia`): PCM at 24 kHz in and out of a peer connection."""

from __future__ import annotations

from collections import deque

from agentfield_adapters.media.webrtc.pacing import Pacer
from agentfield_adapters.media.webrtc.peer import AudioPeer, Sides
from agentfield_rt.caller_media import CallerEvents, IceSettings
from agentfield_rt.frames import FRAME_BYTES, SAMPLE_RATE_HZ
from agentfield_rt.sdp import Offer

WAITING_FRAMES_MAX = 50
"""A second; who plays is a tenth of that ahead, so more is a fault, and the oldest is worth least."""

_SILENCE = bytes(FRAME_BYTES)


class WebRtcCaller:
    """One caller.

    Args:
        pacer: The clock of all callers of this event loop.
    """

    def __init__(self, events: CallerEvents, ice: IceSettings, *, pacer: Pacer) -> None:
        self._waiting: deque[bytes] = deque(maxlen=WAITING_FRAMES_MAX)
        sides = Sides(source=self, on_pcm=events.heard, on_digit=events.digit, on_gone=events.gone)
        self._peer = AudioPeer(sides, ice, pacer=pacer, hearing_rate_hz=SAMPLE_RATE_HZ)

    async def answer(self, offer: Offer) -> str:
        """Return the SDP answer to the caller's offer.

        Raises:
            BadOffer: It cannot be answered.
            UnsupportedTransport: This machine has no address to be reached at.
        """
        return await self._peer.answer(offer)

    async def play(self, pcm: bytes) -> None:
        """Queue at most 20 ms of mono int16 PCM at 24 kHz; a shorter piece is followed by silence."""
        self._waiting.append(pcm.ljust(FRAME_BYTES, b"\0"))

    async def clear(self) -> None:
        """Drop what has not been sent; `play` never waits, so nothing from before comes after."""
        self._waiting.clear()

    async def close(self) -> None:
        """Hang up."""
        await self._peer.close()

    def next_frame(self) -> bytes:
        """Give the next 20 ms to be sent."""
        return self._waiting.popleft() if self._waiting else _SILENCE
