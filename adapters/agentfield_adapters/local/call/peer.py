"""One peer connection: a caller's audio to the ears, speech out, events over the data channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import aioice.ice
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError

from agentfield_adapters.local.call.jitter import take_packets
from agentfield_adapters.local.call.opus import OpusDecoder
from agentfield_adapters.local.call.speech_track import CallPlayback, SpeechTrack
from agentfield_adapters.local.conversation.conversation import Conversation
from agentfield_adapters.local.ear_rate import EAR_RATE_HZ
from agentfield_adapters.local.event_stream import EventFrame
from agentfield_adapters.local.protocol.validation import Refusal

_log = logging.getLogger(__name__)

CHANNEL = "oai-events"
CHANNEL_BYTES_MAX = 4 * 1024 * 1024  # that a client may leave unread
MESSAGES_MAX = 256
PACKETS_MAX = 500  # ten seconds of audio that the ears have not heard
CLOSE_S_MAX = 5.0
ANSWER_S_MAX = 10.0
# A peer that is gone without a word is noticed after three unanswered checks of half a second,
# where aioice's own six of five seconds leave a call open for half a minute.
CONSENT_INTERVAL_S, CONSENT_FAILURES_MAX = 0.5, 3
_MUTE_S = 0.2
_MUTE = bytes(EAR_RATE_HZ * 2 // 5)


class ChannelClient:
    """The events of a session over a data channel (`EventListener`)."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel

    def deliver(self, frame: EventFrame) -> None:
        """Send an event unless the channel is closed, or so full that its client has stopped reading."""
        if self._channel.bufferedAmount > CHANNEL_BYTES_MAX:
            _log.warning("a data channel is full: its client does not read")
            self._channel.close()
            return
        try:
            self._channel.send(frame.text)
        except (InvalidStateError, ConnectionError):
            _log.debug("a data channel closed while an event was sent")


class Peer:
    """A call's media and data channel.

    Args:
        on_gone: Called once the other side has hung up or is out of reach.
    """

    def __init__(
        self, conversation: Conversation, playback: CallPlayback, *, on_gone: Callable[[], None]
    ) -> None:
        aioice.ice.CONSENT_INTERVAL = CONSENT_INTERVAL_S  # type: ignore[assignment]
        aioice.ice.CONSENT_FAILURES = CONSENT_FAILURES_MAX
        self._conversation = conversation
        self._playback = playback
        self._on_gone = on_gone
        # No servers: the default would ask a public one on the internet for our address.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._decoder = OpusDecoder()
        self._heard: asyncio.Queue[bytes] = asyncio.Queue(PACKETS_MAX)
        self._messages: asyncio.Queue[str | bytes] = asyncio.Queue(MESSAGES_MAX)
        self._client: ChannelClient | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.connected = asyncio.Event()

    async def answer(self, offer: str) -> str:
        """Return the SDP answer to an offer; from then on the call may connect at any moment.

        Raises:
            Refusal: The offer cannot be answered.
        """
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", self._channel_opened)
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await self._negotiated(offer)
        except Exception as error:  # the stack raises whatever a broken offer trips over
            _log.info("an offer cannot be answered: %s", type(error).__name__)
            raise Refusal("invalid_offer", "The SDP offer cannot be answered.", "sdp") from error

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._conversation.stream.leave(self._client)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(self._connection.close(), CLOSE_S_MAX)
        except TimeoutError:
            _log.warning("a peer connection did not close within %.0f s", CLOSE_S_MAX)
        except Exception as error:  # of one that a broken offer left half made
            _log.info("a peer connection did not close cleanly: %s", type(error).__name__)

    async def _negotiated(self, offer: str) -> str:
        connection = self._connection
        if "m=audio" in offer:
            connection.addTrack(SpeechTrack(self._playback))
            (transceiver,) = connection.getTransceivers()
            capabilities = RTCRtpSender.getCapabilities("audio").codecs
            transceiver.setCodecPreferences([c for c in capabilities if c.mimeType.lower() == "audio/opus"])
            take_packets(transceiver.receiver, self._packet_arrived)
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        self._tasks = [
            asyncio.create_task(self._hear(), name="call hears"),
            asyncio.create_task(self._obey(), name="call events"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._task_ended)
        return connection.localDescription.sdp

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """End the call with a task that failed: a caller who is not heard should not wait."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed; the call ends", task.get_name(), exc_info=error)
            self._on_gone()

    def _state_changed(self) -> None:
        match self._connection.connectionState:
            case "connected":
                self.connected.set()
            case "failed" | "closed":
                self._on_gone()
            case _:
                pass

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._client is not None:
            channel.close()
            return
        self._client = ChannelClient(channel)
        channel.on("message", self._message_arrived)
        channel.on("close", self._on_gone)
        self._conversation.stream.join(self._client)
        self._conversation.greet(self._client)

    def _message_arrived(self, message: str | bytes) -> None:
        try:
            self._messages.put_nowait(message)
        except asyncio.QueueFull:
            _log.warning("a client sends events faster than they can be taken; its call ends")
            self._on_gone()

    async def _obey(self) -> None:
        while True:
            message = await self._messages.get()
            assert self._client is not None
            await self._conversation.receive(message, self._client)

    def _packet_arrived(self, timestamp: int, payload: bytes) -> None:
        pcm = self._decoder.decoded(timestamp, payload)
        if self._heard.full():
            self._heard.get_nowait()  # the oldest audio is worth least
        self._heard.put_nowait(pcm)

    async def _hear(self) -> None:
        """Give the ears what arrives; while nothing does, silence, so that an open turn ends."""
        while True:
            try:
                # Not wait_for: before Python 3.12 a packet that comes in that moment eats a cancellation.
                async with asyncio.timeout(_MUTE_S):
                    pcm = await self._heard.get()
            except TimeoutError:
                if not self._conversation.listener.in_turn:
                    pcm = await self._heard.get()
                else:
                    pcm = _MUTE
            await self._conversation.hear(pcm)
