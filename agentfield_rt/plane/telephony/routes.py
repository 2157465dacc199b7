"""Phones: a vendor asks what to do with a call, is told to stream it here, and does. Knows no protocol."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket
from pydantic import SecretStr

from agentfield_rt.config import Settings
from agentfield_rt.errors import IllegalCommand, RealtimeError
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.errors import BadRequest, NotAllowed, NotFound
from agentfield_rt.plane.http.bodies import read_body
from agentfield_rt.plane.http.dependencies import Plane
from agentfield_rt.plane.sessions import StartRequest
from agentfield_rt.plane.telephony.calls import CallGone, PhoneCall, refuse, started
from agentfield_rt.telephony import (
    TICKET,
    CallStarted,
    NotFromVendor,
    PhoneVendor,
    SignedRequest,
    phone_vendor,
)

BODY_BYTES_MAX = 64 * 1024

TICKET_VALID_S = 60.0
"""From the answer to a call until its stream begins."""

TICKETS_MAX = 1_000

STARTING_MAX = 64
"""Streams that have not said yet which call they carry."""

NUMBER_CHARS_MAX = 128


class Tickets:
    """What shows that a stream is of a call which was answered here. Each is good once, and not for long."""

    def __init__(self) -> None:
        self._issued: dict[str, tuple[str, float]] = {}

    def issue(self, target: str) -> str:
        """A ticket for one call of a target."""
        now = asyncio.get_running_loop().time()
        self._issued = {ticket: held for ticket, held in self._issued.items() if held[1] > now}
        if len(self._issued) >= TICKETS_MAX:
            del self._issued[next(iter(self._issued))]
        ticket = secrets.token_urlsafe(32)
        self._issued[ticket] = target, now + TICKET_VALID_S
        return ticket

    def take(self, ticket: str | None, target: str) -> None:
        """Take a ticket back.

        Raises:
            IllegalCommand: it is none of this target, or not any more.
        """
        issued_for, valid_until = self._issued.pop(ticket or "", (None, 0.0))
        if issued_for != target or asyncio.get_running_loop().time() > valid_until:
            raise IllegalCommand("the stream brings no valid ticket: let this server answer the call")


@dataclass(frozen=True, slots=True)
class Line:
    """A vendor's number and the session that answers it."""

    vendor: PhoneVendor
    vendor_name: str
    target: str
    url: str
    """Where the vendor reaches this line, without a scheme."""


class Switchboard:
    """The lines of this server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._vendors: dict[str, PhoneVendor] = {}
        self._tickets = Tickets()
        self._starting = 0

    def line(self, vendor_name: str, target: str) -> Line:
        """The line on which a vendor calls a session, which there may not be.

        Raises:
            NotFound: there is no such vendor, or a setting is missing; says which.
            UnsupportedTransport: nothing here speaks with the vendor.
        """
        vendor = self._vendor(vendor_name)
        public_url = self._settings.public_url
        if public_url is None:
            raise NotFound("no phone can reach this server: AGENTFIELD_RT_PUBLIC_URL is not set")
        address = public_url.partition("://")[2].rstrip("/")
        url = f"{address}/api/v1/telephony/{vendor_name}/{target}"
        return Line(vendor, vendor_name, target, url)

    def _vendor(self, vendor_name: str) -> PhoneVendor:
        if vendor_name not in self._vendors:
            key = self._key(vendor_name)
            try:
                self._vendors[vendor_name] = phone_vendor(vendor_name, key)
            except ValueError as error:
                raise NotFound(f"this server takes no calls of {vendor_name}: {error}") from None
        return self._vendors[vendor_name]

    def _key(self, vendor_name: str) -> str:
        keys: dict[str, tuple[SecretStr | None, str]] = {
            "twilio": (self._settings.twilio_auth_token, "TWILIO_AUTH_TOKEN"),
            "telnyx": (self._settings.telnyx_public_key, "TELNYX_PUBLIC_KEY"),
        }
        key, variable = keys.get(vendor_name, (None, ""))
        if not variable:
            raise NotFound(f"no phone vendor of this name; there are: {', '.join(sorted(keys))}")
        if key is None:
            raise NotFound(f"this server takes no calls of {vendor_name}: {variable} is not set")
        return key.get_secret_value()

    def answer(self, line: Line, fields: Mapping[str, str]) -> str:
        """The document that streams a call to us."""
        parameters = {
            name.lower(): fields[name][:NUMBER_CHARS_MAX] for name in ("From", "To") if fields.get(name)
        }
        if line.vendor.needs_ticket:
            parameters[TICKET] = self._tickets.issue(line.target)
        return line.vendor.answer(f"wss://{line.url}", parameters)

    async def carry(self, line: Line, plane: ControlPlane, socket: WebSocket) -> None:
        """Carry the call of a stream that is being opened until one side hangs up."""
        if self._starting >= STARTING_MAX:
            await socket.close()  # before it is accepted: the vendor is told 403
            return
        stream = line.vendor.stream()
        self._starting += 1
        try:
            await socket.accept()
            call = await started(socket, stream)
            if line.vendor.needs_ticket:
                self._tickets.take(call.parameters.get(TICKET), line.target)
        except CallGone:
            await refuse(socket, IllegalCommand("the stream did not say in time which call it carries"))
            return
        except RealtimeError as error:
            await refuse(socket, error)
            return
        finally:
            self._starting -= 1
        try:
            session = await plane.sessions.start(line.target, StartRequest(metadata=_metadata(line, call)))
        except RealtimeError as error:
            await refuse(socket, error)
            return
        await PhoneCall(session, socket, stream).carry()


def _require_session(line: Line, plane: ControlPlane) -> None:
    """Asked once the vendor has shown who it is: nobody else learns which sessions there are.

    Raises:
        NotFound: there is no such session.
        BadRequest: it takes no audio from us.
    """
    _, definition = plane.nodes.session(line.target)
    if definition.transport == "webrtc":
        raise BadRequest("phones need a session of transport=websocket or audio_turns")


def _metadata(line: Line, call: CallStarted) -> dict[str, Any]:
    """What the handler learns of a call, under `phone`."""
    ours = ("from", "to", TICKET)
    return {
        "phone": {
            "vendor": line.vendor_name,
            "call_id": call.call_id,
            "from": call.caller or call.parameters.get("from"),
            "to": call.called or call.parameters.get("to"),
            "parameters": {name: value for name, value in call.parameters.items() if name not in ours},
        }
    }


def telephony_router(settings: Settings) -> APIRouter:
    """The routes that phone vendors use."""
    router = APIRouter(prefix="/api/v1", tags=["phone calls"])
    switchboard = Switchboard(settings)

    @router.post("/telephony/{vendor}/{target}", response_class=Response)
    async def answer(vendor: str, target: str, request: Request, plane: Plane) -> Response:
        """What the vendor shall do with a call that comes in: stream it here, or say that we are busy."""
        line = switchboard.line(vendor, target)
        query = f"?{request.url.query}" if request.url.query else ""
        signed = SignedRequest(
            url=f"https://{line.url}{query}",
            headers=request.headers,
            body=await read_body(request, bytes_max=BODY_BYTES_MAX),
            now_s=time.time(),
        )
        try:
            fields = line.vendor.webhook(signed)
        except NotFromVendor as error:
            raise NotAllowed(str(error)) from None
        _require_session(line, plane)
        document = switchboard.answer(line, fields) if plane.sessions.has_room else line.vendor.busy()
        return Response(document, media_type="application/xml")

    @router.websocket("/telephony/{vendor}/{target}")
    async def stream(vendor: str, target: str, websocket: WebSocket) -> None:
        """The call itself, both ways."""
        plane: ControlPlane = websocket.app.state.plane
        try:
            line = switchboard.line(vendor, target)
            line.vendor.admit(SignedRequest(url=f"wss://{line.url}", headers=websocket.headers))
            _require_session(line, plane)
        except RealtimeError:
            await websocket.close()
            return
        await switchboard.carry(line, plane, websocket)

    return router
