"""The body of a new call: `multipart/form-data` with `sdp` and `session`, or the bare offer."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from starlette.requests import Request

from agentfield_adapters.local.protocol.session import SessionPatch
from agentfield_adapters.local.protocol.validation import Refusal, parse_session

BODY_BYTES_MAX = 1024 * 1024


class BodyTooLarge(Exception):
    """A body is larger than anything a call needs."""


async def new_call(request: Request) -> tuple[bytes, SessionPatch | None]:
    """Return the offer and, if there was one, the session of a request for a call.

    Raises:
        BodyTooLarge: The body exceeds 1 MiB.
        Refusal: The content type is another one, or a part is missing or wrong.
    """
    body = await limited_body(request, BODY_BYTES_MAX)
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return body, None
    if kind != "multipart/form-data":
        raise Refusal(
            "invalid_content_type",
            "Send the offer as application/sdp, or multipart/form-data with the parts sdp and session.",
        )
    parts = form_parts(content_type, body)
    if "sdp" not in parts:
        raise Refusal("missing_required_parameter", "Missing required parameter: 'sdp'.", "sdp")
    session = parts.get("session")
    return parts["sdp"], None if session is None else parse_session(session)


async def limited_body(request: Request, bytes_max: int) -> bytes:
    """Return the whole body of a request.

    Raises:
        BodyTooLarge: It exceeds `bytes_max`.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > bytes_max:
            raise BodyTooLarge
    return bytes(body)


def form_parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """Return the parts of a form by name; of anything else, nothing."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    parts: dict[str, bytes] = {}
    for part in form.iter_parts() if form.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(part, EmailMessage) and isinstance(name, str) and isinstance(payload, bytes):
            parts[name] = payload
    return parts
