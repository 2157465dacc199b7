"""Telephones: a call that rings at a provider becomes a session of the target that answers its number."""

import asyncio
import logging
import re
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec

from agentfield_journal import JournalError
from agentfield_rt.errors import CloseReason, ProviderError, RealtimeError, Reason
from agentfield_rt.idle import Recent
from agentfield_rt.plane.errors import Busy, NotFound
from agentfield_rt.plane.providers import Providers
from agentfield_rt.plane.sessions import Sessions, StartRequest
from agentfield_rt.plane.telephony.hanging_up import hang_up
from agentfield_rt.ports import PhoneAdapter
from agentfield_rt.voice.session import VoiceSession

log = logging.getLogger(__name__)

TRANSPORT = "webrtc"
ANY_NUMBER = "*"
SEEN_MAX = 4_096
"""Calls remembered: a provider tells of one again until it has been answered, for minutes at most."""

ANSWERING_MAX = 64
"""Calls that are being answered or refused at once: each takes a connection to the provider, or several."""

RING_AGAIN_S = 5
"""After so long a provider is asked to tell again of a call that is one too many; it rings meanwhile."""

SIP_NOT_FOUND, SIP_UNAVAILABLE, SIP_BUSY = 404, 480, 486
_INCOMING = "realtime.call.incoming"
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NUMBER = re.compile(r"(?:sips?|tel):(?P<number>[^@;>\s]{1,128})")


class SipHeader(msgspec.Struct, frozen=True):
    """A header of the INVITE, as the provider got it."""

    name: str
    value: str


class IncomingCall(msgspec.Struct, frozen=True):
    """A phone call that rings (OpenAI webhooks: `data` of `realtime.call.incoming`)."""

    call_id: str
    sip_headers: tuple[SipHeader, ...] = ()

    def number(self, name: str) -> str | None:
        """The number, or the user, in a header such as `To` (RFC 3261, 20.10), not what it shows."""
        for header in self.sip_headers:
            address = header.value.rpartition("<")[2].strip()
            if header.name.lower() == name.lower() and (found := _NUMBER.match(address)):
                return found["number"]
        return None


class _Webhook(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw = msgspec.Raw()


def incoming_call(body: bytes) -> IncomingCall | None:
    """The call that a webhook tells of; None when it tells of something else.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        webhook = msgspec.json.decode(body, type=_Webhook)
        if webhook.type != _INCOMING:
            return None
        call = msgspec.json.decode(webhook.data, type=IncomingCall)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ValueError("the webhook is no event of a provider") from None
    if not _CALL_ID.fullmatch(call.call_id):
        raise ValueError("the webhook names no call")
    return call


class Phones:
    """Answers telephones, each call once.

    Args:
        targets: Which session answers, by the number called; `*` answers every other.
    """

    def __init__(self, sessions: Sessions, providers: Providers, targets: Mapping[str, str]) -> None:
        self._sessions = sessions
        self._providers = providers
        self._targets = targets
        self._seen = Recent(SEEN_MAX)
        self._ringing: set[str] = set()
        self._answering: set[asyncio.Task[None]] = set()

    async def ring(self, provider: str, call: IncomingCall) -> None:
        """Answer a call, or refuse it; when this returns its session exists, and is being connected.

        Raises:
            Busy, JournalError: it was not answered; told of it again, it will be.
        """
        if call.call_id in self._seen or call.call_id in self._ringing:
            return
        if len(self._ringing) + len(self._answering) >= ANSWERING_MAX:
            raise Busy(
                f"{ANSWERING_MAX} phone calls are being answered, which is the limit; tell of it again",
                retry_after_s=RING_AGAIN_S,
            )
        self._ringing.add(call.call_id)
        try:
            await self._take(provider, call)
            self._seen.add(call.call_id)
        finally:
            self._ringing.discard(call.call_id)

    async def _take(self, provider: str, call: IncomingCall) -> None:
        called, caller = call.number("To"), call.number("From")
        target = self._targets.get(called or ANY_NUMBER) or self._targets.get(ANY_NUMBER)
        if target is None:
            log.warning(
                "nobody answers the number of a phone call; AGENTFIELD_RT_PHONE_TARGETS says who does"
            )
            self._spawn(self._reject(provider, call, SIP_NOT_FOUND))
            return
        wish = StartRequest(
            provider=provider,
            transport=TRANSPORT,
            metadata={"phone": {"from": caller, "to": called}},
            incoming_call_id=call.call_id,
        )
        try:
            session = await self._sessions.start(target, wish)
        except RealtimeError as refusal:
            log.warning("a phone call for %s was refused: %s", target, refusal)
            self._spawn(self._reject(provider, call, _sip_status(refusal)))
        else:
            self._spawn(self._answer(session))

    async def close(self) -> None:
        """Wait for the calls that are being answered: each has its deadlines."""
        await asyncio.gather(*self._answering, return_exceptions=True)

    async def _answer(self, session: VoiceSession) -> None:
        try:
            await session.connect()
        except (RealtimeError, JournalError) as error:
            log.warning("session %s did not get its call: %s", session.session_id, type(error).__name__)
            is_gone = isinstance(error, ProviderError) and error.reason is Reason.NOT_FOUND
            await hang_up(session, CloseReason.CALLER_GONE if is_gone else CloseReason.PROVIDER_FAILURE)

    async def _reject(self, provider: str, call: IncomingCall, sip_status: int) -> None:
        try:
            adapter = await self._providers.adapter(provider, TRANSPORT)
            if isinstance(adapter, PhoneAdapter):
                await adapter.reject(call.call_id, sip_status=sip_status)
        except RealtimeError as error:
            log.warning("a phone call could not be refused, so it rings on: %s", type(error).__name__)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        answering = asyncio.create_task(work, name="answer the phone")
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)


def _sip_status(refusal: RealtimeError) -> int:
    match refusal:
        case Busy():
            return SIP_BUSY
        case NotFound():
            return SIP_NOT_FOUND
        case _:
            return SIP_UNAVAILABLE
