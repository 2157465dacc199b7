"""One peer connection: a caller's audio to the ears, speech out, events over the data channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from agentfield_adapters.local.call.speech import CallPlayback
from agentfield_adapters.local.conversation.conversation import Conversation
from agentfield_adapters.local.ear_rate import EAR_RATE_HZ
from agentfield_adapters.local.event_stream import EventFrame
from agentfield_adapters.local.protocol.validation import Refusal
from agentfield_adapters.media.webrtc.pacing import Pacer
from agentfield_adapters.media.webrtc.peer import AudioPeer, Sides
from agentfield_rt.caller_media import IceSettings
from agentfield_rt.errors import RealtimeError
from agentfield_rt.sdp import Offer

_log = logging.getLogger(__name__)

CHANNEL = "oai-events"
CHANNEL_BYTES_MAX = 4 * 1024 * 1024  # that a client may leave unread
MESSAGES_MAX = 256
PIECES_MAX = 500  # ten seconds of audio that the ears have not heard


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
        pacer: The clock of all calls.
        on_gone: Called once the other side has hung up or is out of reach.
    """

    def __init__(
        self,
        conversation: Conversation,
        playback: CallPlayback,
        *,
        pacer: Pacer,
        on_gone: Callable[[], None],
    ) -> None:
        self._conversation = conversation
        self._on_gone = on_gone
        sides = Sides(source=playback, on_pcm=self._pcm_arrived, on_digit=None, on_gone=on_gone)
        self._audio = AudioPeer(sides, IceSettings(), pacer=pacer, hearing_rate_hz=EAR_RATE_HZ)
        self._heard: asyncio.Queue[bytes] = asyncio.Queue(PIECES_MAX)
        self._messages: asyncio.Queue[str | bytes] = asyncio.Queue(MESSAGES_MAX)
        self._client: ChannelClient | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> asyncio.Event:
        """Set once media can flow."""
        return self._audio.connected

    async def answer(self, offer: Offer) -> str:
        """Return the SDP answer to an offer; from then on the call may connect at any moment.

        Raises:
            Refusal: The offer cannot be answered.
        """
        self._audio.connection.on("datachannel", self._channel_opened)
        try:
            answer = await self._audio.answer(offer)
        except RealtimeError as error:
            raise Refusal("invalid_offer", f"Refused: {error}.", "sdp") from error
        self._tasks = [
            asyncio.create_task(self._hear(), name="call hears"),
            asyncio.create_task(self._obey(), name="call events"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._task_ended)
        return answer

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._conversation.stream.leave(self._client)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._audio.close()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """End the call with a task that failed: a caller who is not heard should not wait."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed; the call ends", task.get_name(), exc_info=error)
            self._on_gone()

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

    def _pcm_arrived(self, pcm: bytes) -> None:
        if self._heard.full():
            self._heard.get_nowait()  # the oldest audio is worth least
        self._heard.put_nowait(pcm)

    async def _hear(self) -> None:
        while True:
            await self._conversation.hear(await self._heard.get())
