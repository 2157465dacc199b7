"""Calls over WebRTC whose media ends here: an offer answered, and audio carried until one side ends."""

import asyncio
import logging
from collections import deque
from weakref import WeakKeyDictionary

from agentfield_rt.caller_media import CallerEvents, CallerMediaFactory, IceSettings, webrtc_media
from agentfield_rt.config import Settings
from agentfield_rt.errors import RealtimeError
from agentfield_rt.frames import FRAME_BYTES, FRAME_MS
from agentfield_rt.plane.calls.ice import ice_settings
from agentfield_rt.plane.errors import Conflict
from agentfield_rt.plane.telephony.dialled import Tones, dialled
from agentfield_rt.plane.telephony.hanging_up import hang_up
from agentfield_rt.sdp import BadOffer, read_offer
from agentfield_rt.voice.session import VoiceSession

log = logging.getLogger(__name__)

WAITING_MS_MAX = 5_000
"""Audio of a caller that the session has not taken; of more, the oldest is worth least."""

OFFERS_MAX = 5
"""How often a session may be offered a call: each offer that is answered takes sockets for a while."""

_OUR_SIDE = "plane"


class WebRtcCalls:
    """The calls of this plane."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._callers: CallerMediaFactory | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._offers: WeakKeyDictionary[VoiceSession, int] = WeakKeyDictionary()

    async def answer(self, session: VoiceSession, sdp: bytes) -> str:
        """Connect a session with the caller who offers; from then on they end together.

        Raises:
            BadOffer: it is no offer for an audio call.
            Conflict: the session has been offered calls often enough.
            UnsupportedTransport: nothing here takes calls over WebRTC.
            IllegalCommand, ProviderError, SessionClosed: see `VoiceSession.connect`.
        """
        offer = read_offer(sdp, private=self._settings.ice_private_addresses)
        if offer.channel is not None:
            raise BadOffer("media-offer takes audio only: make the offer without a data channel")
        if self._callers is None:
            self._callers = webrtc_media()
        offers = self._offers[session] = self._offers.get(session, 0) + 1
        if offers > OFFERS_MAX:
            raise Conflict(
                f"session {session.session_id} was offered {OFFERS_MAX} calls; start a new session"
            )
        call = _Call(session, self._callers, ice_settings(self._settings, user=_OUR_SIDE))
        if not any(codec.name == "telephone-event" for codec in offer.codecs):
            call.listen_for_tones()
        try:
            answer = await call.media.answer(offer)
            await session.connect(caller=call.media)
        except BaseException:
            await call.media.close()
            raise
        carrying = asyncio.create_task(call.carry(), name=f"webrtc call {session.session_id}")
        self._calls.add(carrying)
        carrying.add_done_callback(self._ended)
        return answer

    def _ended(self, carrying: asyncio.Task[None]) -> None:
        self._calls.discard(carrying)
        if not carrying.cancelled() and (error := carrying.exception()) is not None:
            log.error("%s failed and was hung up: %s", carrying.get_name(), type(error).__name__)

    async def close(self) -> None:
        """Return once every call has been hung up; their sessions must have been closed."""
        await asyncio.gather(*self._calls, return_exceptions=True)  # each was logged


class _Call:
    """One caller and one session."""

    def __init__(self, session: VoiceSession, callers: CallerMediaFactory, ice: IceSettings) -> None:
        self._session = session
        self._heard: deque[bytes] = deque(maxlen=WAITING_MS_MAX // FRAME_MS)
        self._is_over = False
        self._changed = asyncio.Event()
        self._rest = b""
        self._tones: Tones | None = None
        self.media = callers(CallerEvents(heard=self._hear, digit=self._press, gone=self._end), ice)

    def listen_for_tones(self) -> None:
        """The caller has no other way to send digits."""
        self._tones = Tones(self._session)

    async def carry(self) -> None:
        """Carry audio until the caller is gone or the session is over; then hang up on the other."""
        ending = asyncio.create_task(self._end_with_session())
        try:
            await self._pass_on()
        finally:
            await self.media.close()
            await hang_up(self._session)
            ending.cancel()

    async def _end_with_session(self) -> None:
        await self._session.ended()
        self._end()

    async def _pass_on(self) -> None:
        while self._heard or not self._is_over:
            if not self._heard:
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                await self._session.hear_audio(self._heard.popleft())
            except RealtimeError:
                if self._session.is_over:
                    return
                log.info("a frame of session %s was not sent", self._session.session_id)

    def _hear(self, pcm: bytes) -> None:
        """Take any number of samples; the session gets them in frames."""
        if self._tones is not None:
            self._tones.heard(pcm)
        data = self._rest + pcm
        whole = len(data) // FRAME_BYTES * FRAME_BYTES
        self._rest = data[whole:]
        self._heard += (data[start : start + FRAME_BYTES] for start in range(0, whole, FRAME_BYTES))
        self._changed.set()

    def _press(self, digit: str) -> None:
        dialled(self._session, digit)

    def _end(self) -> None:
        self._is_over = True
        self._changed.set()
