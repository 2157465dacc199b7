"""The vendor's routes for phone calls, and those of whoever dials: the admin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentfield_adapters.local.access import is_welcome
from agentfield_adapters.local.faults.admission import struck_request
from agentfield_adapters.local.faults.fault import Where
from agentfield_adapters.local.form import BODY_BYTES_MAX, BodyTooLarge, limited_body
from agentfield_adapters.local.instrument.desk import Desk
from agentfield_adapters.local.instrument.setups import Setup, Setups
from agentfield_adapters.local.phone.exchange import Dialled, Exchange, PhoneCall, PhoneState
from agentfield_adapters.local.phone.line import PhoneLine
from agentfield_adapters.local.problems import problem, refused, unauthorised, unknown_call
from agentfield_adapters.local.protocol.validation import Refusal, decoded, parse_session

SIP_DECLINE = 603
TEXT_CHARACTERS_MAX = 4_000
_NOT_FOR_SIP = ("threshold", "prefix_padding_ms", "silence_duration_ms")
_DETECTION = "session.audio.input.turn_detection"
Answering = Callable[[Request, str, bytes], Awaitable[Response]]
AdminRoute = tuple[str, str, Callable[[Request], Awaitable[Response]]]


class _Reject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status_code: int = SIP_DECLINE


class _Refer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target_uri: str


class _Speech(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str


class _Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#A-D]{1,64}$")]


class _AskedInput(msgspec.Struct, frozen=True):
    turn_detection: dict[str, Any] | None = None


class _AskedAudio(msgspec.Struct, frozen=True):
    input: _AskedInput = _AskedInput()


class _AskedSession(msgspec.Struct, frozen=True):
    """A session as it was asked for: what was left out is not filled in."""

    audio: _AskedAudio = _AskedAudio()


_rejects = msgspec.json.Decoder(_Reject)
_refers = msgspec.json.Decoder(_Refer)
_dialled = msgspec.json.Decoder(Dialled)
_speeches = msgspec.json.Decoder(_Speech)
_keys = msgspec.json.Decoder(_Keys)
_asked = msgspec.json.Decoder(_AskedSession)


class PhoneRoutes:
    """What a client of the vendor may ask of phone calls.

    Args:
        api_key: The only bearer that is let in, or None for any.
    """

    def __init__(self, exchange: Exchange, setups: Setups, desk: Desk, *, api_key: str | None) -> None:
        self._exchange = exchange
        self._setups = setups
        self._desk = desk
        self._api_key = api_key

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        asked: list[tuple[Where, Answering]] = [
            (Where.ACCEPT, self._accept),
            (Where.REJECT, self._reject),
            (Where.REFER, self._refer),
        ]
        return [
            Route(f"/v1/realtime/calls/{{call_id}}/{where}", self._answering(where, answer), methods=["POST"])
            for where, answer in asked
        ]

    def _answering(self, where: Where, answer: Answering) -> Callable[[Request], Awaitable[Response]]:
        async def answering(request: Request) -> Response:
            if not is_welcome(request, self._api_key):
                return unauthorised()
            call_id = str(request.path_params["call_id"])
            try:
                setup = self._setup(request, call_id)
                if (struck := await struck_request(request, setup.plan, where)) is not None:
                    return self._desk.answered(where, setup, struck)
                answered = await answer(request, call_id, await limited_body(request, BODY_BYTES_MAX))
            except BodyTooLarge:
                return problem(413, "body_too_large", f"This takes less than {BODY_BYTES_MAX} bytes.")
            except Refusal as refusal:
                return refused(refusal)
            return self._desk.answered(where, setup, answered)

        return answering

    def _setup(self, request: Request, call_id: str) -> Setup:
        phone = self._exchange.get(call_id)
        return self._setups.of(request) or (self._setups.default if phone is None else phone.setup)

    async def _accept(self, request: Request, call_id: str, body: bytes) -> Response:
        """`POST …/accept`: answer a call that rings; the body is its session."""
        if (phone := self._exchange.ringing(call_id)) is None:
            return unknown_call(call_id)
        patch = parse_session(body)
        _check_detection(body)
        await self._exchange.answer(phone, patch)
        return Response()

    async def _reject(self, request: Request, call_id: str, body: bytes) -> Response:
        """`POST …/reject`: refuse a call that rings, with a SIP status."""
        if (phone := self._exchange.ringing(call_id)) is None:
            return unknown_call(call_id)
        status = decoded(_rejects, body or b"{}", prefix="").status_code
        if not 400 <= status < 700:
            raise Refusal(
                "invalid_value", "A call is refused with a SIP status from 400 to 699.", "status_code"
            )
        self._exchange.refuse(phone, status)
        return Response()

    async def _refer(self, request: Request, call_id: str, body: bytes) -> Response:
        """`POST …/refer`: let an answered phone call go on elsewhere."""
        phone = self._exchange.get(call_id)
        if phone is None or phone.state is not PhoneState.ANSWERED:
            return unknown_call(call_id)
        target_uri = decoded(_refers, body, prefix="").target_uri
        if not target_uri.startswith(("tel:", "sip:", "sips:")):
            raise Refusal("invalid_value", "A call is referred to a tel: or sip: URI.", "target_uri")
        self._exchange.refer(phone, target_uri)
        return Response()


class PhoneAdmin:
    """Whoever dials: lets calls come in, speaks in them, hangs up, and asks what became of them."""

    def __init__(self, exchange: Exchange, setups: Setups) -> None:
        self._exchange = exchange
        self._setups = setups

    def routes(self) -> Sequence[AdminRoute]:
        """Return the routes, for the admin to guard."""
        one = "/admin/phone-calls/{call_id}"
        return [
            ("POST", "/admin/phone-calls", self.dial),
            ("GET", one, self.show),
            ("POST", f"{one}/speech", self.speak),
            ("POST", f"{one}/keys", self.press),
            ("DELETE", one, self.hang_up),
        ]

    async def dial(self, request: Request) -> Response:
        """`POST /admin/phone-calls`: a call comes in; answered when the webhook has been."""
        try:
            setup = self._setups.of(request) or self._setups.default
            dialled = decoded(_dialled, await limited_body(request, BODY_BYTES_MAX), prefix="")
            phone, status = await self._exchange.dial(dialled, setup)
        except BodyTooLarge:
            return problem(413, "body_too_large", f"This takes less than {BODY_BYTES_MAX} bytes.")
        except Refusal as refusal:
            return refused(refusal)
        except ValueError as error:
            return problem(400, "invalid_value", f"{error}.", "webhook_secret")
        return JSONResponse({**_told(phone), "webhook_status": status}, 201)

    async def show(self, request: Request) -> Response:
        """`GET /admin/phone-calls/{call_id}`: what became of it."""
        phone = self._phone(request)
        return unknown_call(request.path_params["call_id"]) if phone is None else JSONResponse(_told(phone))

    async def speak(self, request: Request) -> Response:
        """`POST /admin/phone-calls/{call_id}/speech`: the caller says this."""
        if (line := self._line(request)) is None:
            return unknown_call(request.path_params["call_id"])
        try:
            text = decoded(_speeches, await limited_body(request, BODY_BYTES_MAX), prefix="").text
        except BodyTooLarge:
            return problem(413, "body_too_large", f"This takes less than {BODY_BYTES_MAX} bytes.")
        except Refusal as refusal:
            return refused(refusal)
        if not 0 < len(text) <= TEXT_CHARACTERS_MAX:
            return problem(400, "invalid_value", f"Say 1 to {TEXT_CHARACTERS_MAX} characters.", "text")
        if not line.say(text):
            return problem(429, "rate_limit_exceeded", "The caller has not said yet what waits.")
        return Response(status_code=202)

    async def press(self, request: Request) -> Response:
        """`POST /admin/phone-calls/{call_id}/keys`: the caller presses these keys."""
        if (line := self._line(request)) is None:
            return unknown_call(request.path_params["call_id"])
        try:
            line.dial(decoded(_keys, await limited_body(request, BODY_BYTES_MAX), prefix="").keys)
        except BodyTooLarge:
            return problem(413, "body_too_large", f"This takes less than {BODY_BYTES_MAX} bytes.")
        except Refusal as refusal:
            return refused(refusal)
        return Response(status_code=202)

    async def hang_up(self, request: Request) -> Response:
        """`DELETE /admin/phone-calls/{call_id}`: the caller hangs up."""
        phone = self._phone(request)
        if phone is None:
            return unknown_call(request.path_params["call_id"])
        await self._exchange.hang_up(phone)
        return Response(status_code=204)

    def _line(self, request: Request) -> PhoneLine | None:
        phone = self._phone(request)
        return phone.line if phone is not None and phone.state is PhoneState.ANSWERED else None

    def _phone(self, request: Request) -> PhoneCall | None:
        return self._exchange.get(str(request.path_params["call_id"]))


def _told(phone: PhoneCall) -> dict[str, str | int | None]:
    return {
        "call_id": phone.call_id,
        "state": phone.state,
        "sip_status": phone.sip_status,
        "referred_to": phone.referred_to,
    }


def _check_detection(body: bytes) -> None:
    """When a turn ends on the telephone is the vendor's to decide."""
    detection = _asked.decode(body).audio.input.turn_detection
    for name in _NOT_FOR_SIP:
        if name in (detection or {}):
            raise Refusal(
                "unknown_parameter", f"Unknown parameter: '{_DETECTION}.{name}'.", f"{_DETECTION}.{name}"
            )
