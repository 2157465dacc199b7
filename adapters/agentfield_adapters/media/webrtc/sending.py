"""Our audio to the other side: PCM to Opus to RTP, on the loop, in place of aiortc's own sending task.

That one takes an executor's thread for each frame, encodes 96 kb/s in stereo, measures the level of each
frame in Python, and builds each header from objects. aiortc negotiates the stream and reports on it (RFC
3550, section 6.4.1) as before: what it needs for that is kept up for it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

from aiortc import RTCRtpSender
from aiortc.rtp import RtpPacket

from agentfield_adapters.media.libopus import Encoder
from agentfield_adapters.media.webrtc.pacing import Pacer

RTP_RATE_HZ = 48_000  # whatever rate Opus is made from (RFC 7587, section 4.1)
PCM_RATE_HZ = 24_000
FRAME_TICKS = RTP_RATE_HZ // 50
LOSS_LOOK_FRAMES = 250
"""How often it is asked whether packets get lost: as often as browsers report it."""

CALM_LOOKS = 12
"""After a minute without loss packets carry no copies any more."""

_log = logging.getLogger(__name__)
_HEADER = struct.Struct("!BBHLL")
_MARKER = 0x80
_NTP_OF_UNIX_S = 2_208_988_800

# aiortc's names; a test holds them against the installed version.
SENDING_TASK = "_run_rtp"
_PRIVATE = "_RTCRtpSender__"
STARTED, EXITED = _PRIVATE + "rtp_started", _PRIVATE + "rtp_exited"
MID, EXTENSIONS = _PRIVATE + "mid", _PRIVATE + "rtp_header_extensions_map"
NTP_TIME, RTP_TIME = _PRIVATE + "ntp_timestamp", _PRIVATE + "rtp_timestamp"
PACKETS, OCTETS = _PRIVATE + "packet_count", _PRIVATE + "octet_count"
NAMES = (SENDING_TASK, "_ssrc", STARTED, EXITED, MID, EXTENSIONS, NTP_TIME, RTP_TIME, PACKETS, OCTETS)


class Source(Protocol):
    """Where the audio comes from."""

    def next_frame(self) -> bytes:
        """Return the next 20 ms of mono int16 PCM at 24 kHz, 960 bytes; of silence when there is nothing."""
        ...


def send_from(source: Source, sender: RTCRtpSender, pacer: Pacer, *, on_failed: Callable[[], None]) -> None:
    """Have `sender` send what `source` gives, from when its peer connection is connected until it is closed.

    Must be called before the connection is negotiated.

    Args:
        on_failed: Told once when nothing more can be sent, by a fault of ours.

    Raises:
        RuntimeError: This aiortc is another than ours.
    """
    if missing := [name for name in NAMES if not hasattr(sender, name)]:
        raise RuntimeError(f"aiortc's sender has no {missing[0]}: install aiortc>=1.16,<1.17")

    async def run(codec: Any) -> None:
        getattr(sender, STARTED).set()
        try:
            stream = OpusStream(source, sender, payload_type=codec.payloadType, on_failed=on_failed)
            pacer.join(stream)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                pacer.leave(stream)
        except asyncio.CancelledError:
            pass  # this is how aiortc stops it
        except Exception:
            _log.exception("a call cannot send, so it is ended")
            on_failed()
        finally:
            getattr(sender, EXITED).set()  # aiortc waits for it without end

    setattr(sender, SENDING_TASK, run)


class OpusStream:
    """One stream of RTP (`Paced`).

    Args:
        payload_type: What Opus was negotiated to be called.
        on_failed: Told when sending raised, and the stream is asked for nothing more.
    """

    def __init__(
        self, source: Source, sender: Any, *, payload_type: int, on_failed: Callable[[], None]
    ) -> None:
        self._source = source
        self.failed = on_failed
        self._sender = sender
        self._report_fields: dict[str, int] = sender.__dict__
        self._encoder = Encoder(rate_hz=PCM_RATE_HZ)
        # Below half of its range, as aiortc's: a wrap soon after the start breaks SRTP in other stacks.
        self._sequence = secrets.randbits(15)
        self._ticks = secrets.randbits(32)
        self._is_first = True
        self._frames_to_look = LOSS_LOOK_FRAMES
        self._calm_looks = 0
        pattern = RtpPacket(payload_type=payload_type, ssrc=sender._ssrc)
        pattern.extensions.mid = getattr(sender, MID)
        header = pattern.serialize(getattr(sender, EXTENSIONS))
        self._flags, self._payload_type, _, _, self._ssrc = _HEADER.unpack_from(header)
        self._extensions = header[_HEADER.size :]

    async def send_next(self, skipped_frames: int) -> None:
        """Encode and send 20 ms; after a stall its RTP time is later by as much, so that no delay stays."""
        self._frames_to_look -= 1
        if not self._frames_to_look:
            self._frames_to_look = LOSS_LOOK_FRAMES
            await self._mind_loss()
        payload = self._encoder.encoded(self._source.next_frame())
        begins = self._is_first or skipped_frames > 0
        self._is_first = False
        self._ticks = (self._ticks + skipped_frames * FRAME_TICKS) & 0xFFFFFFFF
        header = _HEADER.pack(
            self._flags,
            self._payload_type | (_MARKER if begins else 0),
            self._sequence,
            self._ticks,
            self._ssrc,
        )
        try:
            await self._sender.transport._send_rtp(header + self._extensions + payload)
        except ConnectionError:
            return  # the connection is ending, and its sender with it
        self._report(len(payload))
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._ticks = (self._ticks + FRAME_TICKS) & 0xFFFFFFFF

    async def _mind_loss(self) -> None:
        """Have packets carry copies while the other side reports that some get lost (RFC 3550, 6.4.1)."""
        stats: dict[str, Any] = await self._sender.getStats()
        lost = [one.fractionLost for one in stats.values() if one.type == "remote-inbound-rtp"]
        if percent := max(lost, default=0) * 100 // 256:
            self._calm_looks = 0
            self._encoder.expect_loss(percent)
        else:
            self._calm_looks += 1
            if self._calm_looks == CALM_LOOKS:
                self._encoder.expect_loss(0)

    def _report(self, payload_bytes: int) -> None:
        """Keep what aiortc's next sender report says: when this packet left, and how much has by now."""
        fields = self._report_fields
        fields[NTP_TIME] = ((time.time_ns() + _NTP_OF_UNIX_S * 10**9) << 32) // 10**9
        fields[RTP_TIME] = self._ticks
        fields[PACKETS] += 1
        fields[OCTETS] += payload_bytes
