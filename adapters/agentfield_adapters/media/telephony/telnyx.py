"""Telnyx' calls: TeXML that connects one, and its media stream.

Source: Telnyx' pages "Media Streaming over WebSockets", "Stream call media over WebSocket", the TeXML verb
"Stream", and "Webhook signing". Telnyx does not sign the opening of a stream, so its call brings a ticket.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agentfield_adapters.media.telephony.document import BUSY, connecting
from agentfield_adapters.media.telephony.stream import MediaStream
from agentfield_adapters.media.telephony.wire import Incoming, Message, Started, decoded, event_of
from agentfield_rt.telephony import NotFromVendor, PhoneStream, SignedRequest

SIGNATURE = "telnyx-signature-ed25519"
TIMESTAMP = "telnyx-timestamp"
OLD_S_MAX = 300
_FIELDS_MAX = 100
_PUBLIC_KEY_BYTES = 32


class _Format(msgspec.Struct, gc=False):
    encoding: str
    sample_rate: int
    channels: int


class _Start(msgspec.Struct):
    call_control_id: str
    media_format: _Format
    caller: str | None = msgspec.field(default=None, name="from")
    called: str | None = msgspec.field(default=None, name="to")
    custom_parameters: dict[str, str] | None = None


class _Message(Message):
    stream_id: str | None = None
    sequence: int | None = msgspec.field(default=None, name="sequence_number")
    start: _Start | None = None


_DECODER = msgspec.json.Decoder(_Message, strict=False)
_encoded = msgspec.json.Encoder().encode


class TelnyxDialect:
    """Telnyx' messages (`wire.Dialect`). Ours do not name the stream: a socket carries one."""

    def read(self, message: str) -> Incoming:
        """See `wire.Dialect`."""
        fields = decoded(_DECODER, message)
        started = _started(fields.start) if fields.start is not None else None
        return Incoming(event_of(fields, started), fields.stream_id, fields.sequence)

    def media(self, stream_id: str, payload: str) -> bytes:
        """See `wire.Dialect`."""
        return _encoded({"event": "media", "media": {"payload": payload}})

    def mark(self, stream_id: str, name: str) -> bytes:
        """See `wire.Dialect`."""
        return _encoded({"event": "mark", "mark": {"name": name}})

    def clear(self, stream_id: str) -> bytes:
        """See `wire.Dialect`."""
        return _encoded({"event": "clear"})


def _started(start: _Start) -> Started:
    return Started(
        call_id=start.call_control_id,
        encoding=start.media_format.encoding,
        rate_hz=start.media_format.sample_rate,
        channels=start.media_format.channels,
        caller=start.caller,
        called=start.called,
        parameters=start.custom_parameters or {},
    )


class Telnyx:
    """Telnyx (`agentfield_rt.telephony.PhoneVendor`).

    Args:
        public_key: The account's, in base64, with which webhooks are checked.

    Raises:
        ValueError: it is none.
    """

    needs_ticket = True

    def __init__(self, public_key: str) -> None:
        try:
            key = base64.b64decode(public_key, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != _PUBLIC_KEY_BYTES:
            raise ValueError(f"TELNYX_PUBLIC_KEY is {_PUBLIC_KEY_BYTES} bytes in base64")
        self._public_key = Ed25519PublicKey.from_public_bytes(key)

    def webhook(self, request: SignedRequest) -> Mapping[str, str]:
        """See `PhoneVendor`."""
        at_s = request.headers.get(TIMESTAMP, "")
        is_number = at_s.isascii() and at_s.isdecimal() and len(at_s) < 16
        if not is_number or abs(request.now_s - int(at_s)) > OLD_S_MAX:
            raise NotFromVendor(f"the request was not signed by Telnyx within the last {OLD_S_MAX} s")
        try:
            signature = base64.b64decode(request.headers.get(SIGNATURE, ""), validate=True)
            self._public_key.verify(signature, f"{at_s}|".encode() + request.body)
        except (binascii.Error, ValueError, InvalidSignature):
            raise NotFromVendor("the request is not signed by the owner of TELNYX_PUBLIC_KEY") from None
        try:
            fields = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        except ValueError:  # not UTF-8, or too many
            raise NotFromVendor("the request is no form that Telnyx sends") from None
        return dict(fields)

    def admit(self, request: SignedRequest) -> None:
        """See `PhoneVendor`. Nothing shows who it is before the first message brings its ticket."""

    def answer(self, stream_url: str, parameters: Mapping[str, str]) -> str:
        """See `PhoneVendor`."""
        stream = {
            "url": stream_url,
            "track": "inbound_track",
            "codec": "PCMU",
            "bidirectionalMode": "rtp",
            "bidirectionalCodec": "PCMU",
        }
        return connecting(stream, parameters)

    def busy(self) -> str:
        """See `PhoneVendor`."""
        return BUSY

    def stream(self) -> PhoneStream:
        """See `PhoneVendor`."""
        return MediaStream(TelnyxDialect())
