"""Twilio's calls: TwiML that connects one, and its media stream.

Source: Twilio's pages "Media Streams - WebSocket Messages", "TwiML Voice: <Stream>" and "Webhooks Security".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from agentfield_adapters.media.telephony.document import BUSY, connecting
from agentfield_adapters.media.telephony.stream import MediaStream
from agentfield_adapters.media.telephony.wire import Incoming, Message, Started, decoded, event_of
from agentfield_rt.telephony import NotFromVendor, PhoneStream, SignedRequest

SIGNATURE = "x-twilio-signature"
_FIELDS_MAX = 100
_PORT = re.compile(r"(?<=[^:/]):\d+(?=/)")


class _Format(msgspec.Struct, gc=False, rename="camel"):
    encoding: str
    sample_rate: int
    channels: int


class _Start(msgspec.Struct, rename="camel"):
    call_sid: str
    media_format: _Format
    custom_parameters: dict[str, str] | None = None


class _Message(Message):
    stream_id: str | None = msgspec.field(default=None, name="streamSid")
    sequence: int | None = msgspec.field(default=None, name="sequenceNumber")
    start: _Start | None = None


_DECODER = msgspec.json.Decoder(_Message, strict=False)
_encoded = msgspec.json.Encoder().encode


class TwilioDialect:
    """Twilio's messages (`wire.Dialect`)."""

    def read(self, message: str) -> Incoming:
        """See `wire.Dialect`."""
        fields = decoded(_DECODER, message)
        started = _started(fields.start) if fields.start is not None else None
        return Incoming(event_of(fields, started), fields.stream_id, fields.sequence)

    def media(self, stream_id: str, payload: str) -> bytes:
        """See `wire.Dialect`."""
        return _encoded({"event": "media", "streamSid": stream_id, "media": {"payload": payload}})

    def mark(self, stream_id: str, name: str) -> bytes:
        """See `wire.Dialect`."""
        return _encoded({"event": "mark", "streamSid": stream_id, "mark": {"name": name}})

    def clear(self, stream_id: str) -> bytes:
        """See `wire.Dialect`."""
        return _encoded({"event": "clear", "streamSid": stream_id})


def _started(start: _Start) -> Started:
    return Started(
        call_id=start.call_sid,
        encoding=start.media_format.encoding,
        rate_hz=start.media_format.sample_rate,
        channels=start.media_format.channels,
        parameters=start.custom_parameters or {},
    )


def _spellings(url: str) -> list[str]:
    """What Twilio may have signed: with a stream a slash at the end, and an address without its port."""
    without_port = _PORT.sub("", url)
    return [url, f"{url}/", without_port, f"{without_port}/"]


class Twilio:
    """Twilio (`agentfield_rt.telephony.PhoneVendor`).

    Args:
        auth_token: The account's, with which Twilio signs. It is shown in no repr.
    """

    needs_ticket = False
    """The opening of a stream is signed like every request."""

    def __init__(self, auth_token: str) -> None:
        self._auth_token = auth_token.encode()

    def webhook(self, request: SignedRequest) -> Mapping[str, str]:
        """See `PhoneVendor`."""
        try:
            fields = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        except ValueError:  # not UTF-8, or too many
            raise NotFromVendor("the request is no form that Twilio sends") from None
        self._check(request, "".join(name + value for name, value in sorted(set(fields))))
        return dict(fields)

    def admit(self, request: SignedRequest) -> None:
        """See `PhoneVendor`."""
        self._check(request, "")

    def answer(self, stream_url: str, parameters: Mapping[str, str]) -> str:
        """See `PhoneVendor`."""
        return connecting({"url": stream_url}, parameters)

    def busy(self) -> str:
        """See `PhoneVendor`."""
        return BUSY

    def stream(self) -> PhoneStream:
        """See `PhoneVendor`."""
        return MediaStream(TwilioDialect())

    def _check(self, request: SignedRequest, parameters: str) -> None:
        given = request.headers.get(SIGNATURE, "").encode()
        wanted = (self._signature(url, parameters) for url in _spellings(request.url))
        if not any([hmac.compare_digest(given, signature) for signature in wanted]):
            raise NotFromVendor(
                "the request is not signed by Twilio with TWILIO_AUTH_TOKEN for the address in "
                "AGENTFIELD_RT_PUBLIC_URL"
            )

    def _signature(self, url: str, parameters: str) -> bytes:
        signed = (url + parameters).encode(errors="surrogateescape")
        return base64.b64encode(hmac.new(self._auth_token, signed, hashlib.sha1).digest())
