"""One peer connection that carries audio both ways, from our end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiortc import RTCPeerConnection, RTCSessionDescription

from agentfield_adapters.media.webrtc.hearing import Hearing
from agentfield_adapters.media.webrtc.pacing import Pacer
from agentfield_adapters.media.webrtc.receiving import take_packets
from agentfield_adapters.media.webrtc.sending import Source, send_from
from agentfield_adapters.media.webrtc.stack import agree_on, configuration
from agentfield_rt.caller_media import IceSettings
from agentfield_rt.errors import UnsupportedTransport
from agentfield_rt.sdp import BadOffer, Offer, write_offer

_log = logging.getLogger(__name__)

ANSWER_S_MAX = 10.0
CONNECT_S_MAX = 30.0
CLOSE_S_MAX = 5.0
_OTHERWISE = "use a websocket, or see whether its TURN server can be reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What goes out of a connection and who takes what comes in. None of them waits.

    Attributes:
        source: Gives what is sent.
        on_pcm: Takes what is heard, mono int16 PCM at the rate asked for.
        on_digit: Takes a key that was pressed; None where keys are not asked for.
        on_gone: Told once when the other side has hung up, is out of reach or never came, or nothing can be
            sent to it any more.
    """

    source: Source
    on_pcm: Callable[[bytes], None]
    on_digit: Callable[[str], None] | None
    on_gone: Callable[[], None]


class AudioPeer:
    """A caller's peer connection.

    Args:
        pacer: The clock of all connections of this event loop.
        hearing_rate_hz: What `Sides.on_pcm` takes.

    Attributes:
        connection: aiortc's, for a data channel.
        connected: Set once media can flow.
    """

    def __init__(self, sides: Sides, ice: IceSettings, *, pacer: Pacer, hearing_rate_hz: int) -> None:
        self._sides = sides
        self._pacer = pacer
        self._hearing = Hearing(sides.on_pcm, sides.on_digit, rate_hz=hearing_rate_hz)
        self._is_over = False
        self._patience: asyncio.TimerHandle | None = None
        self.connected = asyncio.Event()
        self.connection = RTCPeerConnection(configuration(ice))
        self.connection.on("connectionstatechange", self._state_changed)

    async def answer(self, offer: Offer) -> str:
        """Return the SDP answer; from then on the call may connect at any moment.

        Raises:
            BadOffer: The offer cannot be answered.
            UnsupportedTransport: This machine has no address to be reached at.
        """
        codecs = [codec for codec in offer.codecs if codec.name == "opus"][:1]
        if not codecs:
            raise BadOffer("the SDP offer lacks Opus: offer opus/48000/2")
        if self._sides.on_digit is not None:
            codecs += [codec for codec in offer.codecs if codec.name == "telephone-event"]
        self._hearing.expect_events({codec.payload_type for codec in codecs[1:]})
        connection = self.connection
        transceiver = connection.addTransceiver("audio")
        send_from(self._sides.source, transceiver.sender, self._pacer, on_failed=self._tell_gone)
        take_packets(transceiver.receiver, self._hearing.take)
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await connection.setRemoteDescription(RTCSessionDescription(write_offer(offer), "offer"))
                agree_on(transceiver, codecs)
                await connection.setLocalDescription(await connection.createAnswer())
        except TimeoutError as error:
            raise UnsupportedTransport(
                f"no address was found in {ANSWER_S_MAX:.0f} s; {_OTHERWISE}"
            ) from error
        except Exception as error:  # the stack raises whatever a broken offer trips over
            _log.info("an offer cannot be answered: %s", type(error).__name__)
            raise BadOffer("the SDP offer cannot be answered") from error
        answer: str = connection.localDescription.sdp
        if "\na=candidate:" not in answer:
            raise UnsupportedTransport(f"no address of this machine can be reached by WebRTC; {_OTHERWISE}")
        self._patience = asyncio.get_running_loop().call_later(CONNECT_S_MAX, self._give_up)
        return answer

    async def close(self) -> None:
        """Hang up; nobody is told `on_gone` any more."""
        self._is_over = True
        self._hearing.close()
        if self._patience is not None:
            self._patience.cancel()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self.connection.close()
        except TimeoutError:
            _log.warning("a peer connection did not close within %.0f s", CLOSE_S_MAX)
        except Exception as error:  # of one that a broken offer left half made
            _log.info("a peer connection did not close cleanly: %s", type(error).__name__)

    def _state_changed(self) -> None:
        match self.connection.connectionState:
            case "connected":
                self.connected.set()
            case "failed" | "closed":
                self._tell_gone()
            case _:
                pass

    def _give_up(self) -> None:
        if not self.connected.is_set():
            _log.info("a caller did not connect within %.0f s", CONNECT_S_MAX)
            self._tell_gone()

    def _tell_gone(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._sides.on_gone()
