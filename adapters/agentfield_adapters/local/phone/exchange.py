"""Phone calls from the first ring to the end, and the signed webhook that tells of them."""

from __future__ import annotations

import asyncio
import secrets
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from agentfield_adapters.local.call.calls import Call, Calls
from agentfield_adapters.local.call.speech import CallPlayback
from agentfield_adapters.local.instrument.setups import Setup
from agentfield_adapters.local.phone.line import PhoneLine
from agentfield_adapters.local.protocol.session import MODEL_DEFAULT, SessionPatch
from agentfield_adapters.local.provider import NewSession, Provider
from agentfield_rt.webhooks import WebhookSecret

RING_S_MAX = 30.0
TARGET_ANSWERS_S = 0.5
WEBHOOK_S_MAX = 10.0
KEPT_MAX = 1_000
_SYNTHETIC_TIMES_REAL_TIME = 10.0
INCOMING = "realtime.call.incoming"


class PhoneState(StrEnum):
    """Where a phone call is."""

    RINGING = "ringing"
    ANSWERED = "answered"
    REFUSED = "refused"
    REFERRED = "referred"
    ENDED = "ended"


class Dialled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who calls whom, and who is told of it.

    Attributes:
        to: The number that is called, or a SIP user.
        caller: Whose call it is.
        webhook_url: Where the webhook goes.
        webhook_secret: `whsec_…`, with which it is signed.
    """

    to: str
    caller: str
    webhook_url: str
    webhook_secret: str


@dataclass(slots=True, eq=False)
class PhoneCall:
    """One phone call.

    Attributes:
        sip_status: With which it was refused.
        referred_to: Where it went on.
    """

    new: NewSession
    playback: CallPlayback
    setup: Setup
    state: PhoneState = PhoneState.RINGING
    sip_status: int | None = None
    referred_to: str | None = None
    line: PhoneLine | None = None

    @property
    def call_id(self) -> str:
        return self.new.call_id


class Exchange:
    """All phone calls of a provider; of those that ended, the newest."""

    def __init__(self, provider: Provider, calls: Calls) -> None:
        self._provider = provider
        self._calls = calls
        self._phones: OrderedDict[str, PhoneCall] = OrderedDict()

    def get(self, call_id: str) -> PhoneCall | None:
        """Return a call, whatever became of it."""
        return self._phones.get(call_id)

    def ringing(self, call_id: str) -> PhoneCall | None:
        """Return a call that rings."""
        phone = self._phones.get(call_id)
        return phone if phone is not None and phone.state is PhoneState.RINGING else None

    async def dial(self, dialled: Dialled, setup: Setup) -> tuple[PhoneCall, int | None]:
        """Let a call come in, and tell of it.

        Returns:
            The call, and the status that the webhook was answered with: None when it was not.

        Raises:
            ValueError: The secret is none.
        """
        secret = WebhookSecret(dialled.webhook_secret)
        playback = CallPlayback()
        phone = PhoneCall(self._provider.new_session(MODEL_DEFAULT, playback, setup), playback, setup)
        self._phones[phone.call_id] = phone
        if len(self._phones) > KEPT_MAX:
            self._phones.popitem(last=False)
        asyncio.get_running_loop().call_later(RING_S_MAX, self.miss, phone)
        body = _event(phone.call_id, dialled)
        headers = secret.headers(f"wh_{secrets.token_hex(12)}", body, at_s=int(time.time()))
        return phone, await asyncio.to_thread(_posted, dialled.webhook_url, body, headers)

    async def answer(self, phone: PhoneCall, patch: SessionPatch) -> None:
        """Put a call that rings through to its session.

        Raises:
            Refusal: The session cannot be had; it rings on.
        """
        conversation = phone.new.conversation
        await conversation.open(patch)
        senses = self._provider.senses(phone.setup)
        is_real = phone.setup.scenario.senses == "real"
        phone.line = PhoneLine(
            conversation,
            phone.playback,
            senses.mouth,
            times_real_time=1.0 if is_real else _SYNTHETIC_TIMES_REAL_TIME,
            on_gone=lambda: self._calls.gone(phone.call_id),
        )
        phone.state = PhoneState.ANSWERED
        self._calls.put_through(
            Call(phone.call_id, conversation, phone.line, phone.setup, on_end=lambda: self._ended(phone))
        )

    def refuse(self, phone: PhoneCall, sip_status: int) -> None:
        """Let a call that rings know why nobody answers."""
        phone.state, phone.sip_status = PhoneState.REFUSED, sip_status

    def refer(self, phone: PhoneCall, target_uri: str) -> None:
        """Let the call go on elsewhere; here it is over as soon as the target has answered."""
        phone.state, phone.referred_to = PhoneState.REFERRED, target_uri
        asyncio.get_running_loop().call_later(TARGET_ANSWERS_S, self._calls.gone, phone.call_id)

    async def hang_up(self, phone: PhoneCall) -> None:
        """The caller puts the receiver down."""
        self.miss(phone)
        await self._calls.end(phone.call_id)

    def miss(self, phone: PhoneCall) -> None:
        """Nobody answered."""
        if phone.state is PhoneState.RINGING:
            phone.state = PhoneState.ENDED

    def _ended(self, phone: PhoneCall) -> None:
        if phone.state is PhoneState.ANSWERED:
            phone.state = PhoneState.ENDED


def _event(call_id: str, dialled: Dialled) -> bytes:
    headers = {
        "From": f"<sip:{dialled.caller}@sip.example.com>;tag=1",
        "To": f"<sip:{dialled.to}@sip.example.com>",
        "Call-ID": f"{call_id}@sip.example.com",
    }
    sip_headers = [{"name": name, "value": value} for name, value in headers.items()]
    return msgspec.json.encode(
        {
            "object": "event",
            "id": f"evt_{secrets.token_hex(12)}",
            "type": INCOMING,
            "created_at": int(time.time()),
            "data": {"call_id": call_id, "sip_headers": sip_headers},
        }
    )


def _posted(url: str, body: bytes, headers: dict[str, str]) -> int | None:
    """The status that the webhook was answered with; None for no answer. Blocks."""
    request = urllib.request.Request(
        url, data=body, method="POST", headers={"Content-Type": "application/json", **headers}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=WEBHOOK_S_MAX) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError):
        return None
