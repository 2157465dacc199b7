"""Whom a webhook goes to and how it is signed, as it was registered with an execution."""

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from agentfield_rt.plane.egress import EgressPolicy, Unreachable, parse_address
from agentfield_rt.plane.errors import BadRequest

SECRET_CHARS_MAX = 1_024
HEADERS_MAX = 32
HEADER_CHARS_MAX = 4_096

SIGNATURE = "X-AgentField-Signature"
DELIVERY_ID = "X-AgentField-Delivery-ID"
"""The same for every try of a webhook: a receiver that remembers it takes each once."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
"""What the request itself needs, or how it is carried: nobody else's to say."""


class Registration(msgspec.Struct, frozen=True):
    """Where a webhook goes. Content: the secret, and often the headers, let somebody in."""

    url: str
    secret: str | None = None
    headers: dict[str, str] | None = None

    def __repr__(self) -> str:
        return "Registration()"

    def signed(self, body: bytes, *, delivery_id: str) -> dict[str, str]:
        """The headers of a request with this body."""
        headers = {**(self.headers or {}), "Content-Type": "application/json", DELIVERY_ID: delivery_id}
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        return headers


_decode = msgspec.json.Decoder(Registration).decode


def read_registration(data: bytes) -> Registration:
    """A registration as the content store has it.

    Raises:
        ValueError: it is none.
    """
    try:
        return _decode(data)
    except msgspec.MsgspecError:
        raise ValueError("what was kept is no registration of a webhook") from None


async def check_registration(webhook: Mapping[str, Any], policy: EgressPolicy) -> None:
    """Refuse a webhook that could never be delivered, before its execution is accepted.

    Raises:
        BadRequest: it is none, or a header or the secret cannot be sent.
        EgressRefused: this server may not call that address, or it is none (`MalformedAddress`).
    """
    try:
        registration = msgspec.convert(webhook, Registration)
    except msgspec.ValidationError as error:
        raise BadRequest(f"webhook: {error}") from None
    if len(registration.secret or "") > SECRET_CHARS_MAX:
        raise BadRequest(f"webhook: a secret has at most {SECRET_CHARS_MAX} characters")
    _check_headers(registration.headers or {})
    address = parse_address(registration.url)
    try:
        await policy.resolve(address)
    except Unreachable:
        return  # its name may lead somewhere by the time there is something to tell


def _check_headers(headers: Mapping[str, str]) -> None:
    if len(headers) > HEADERS_MAX:
        raise BadRequest(f"webhook: at most {HEADERS_MAX} headers are sent along")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or len(value) > HEADER_CHARS_MAX:
            raise BadRequest("webhook: one of the headers cannot be sent")
        if name.lower() in _OURS or name.lower().startswith("x-agentfield-"):
            raise BadRequest(f"webhook: the header {name} is this server's to set")
