"""What the vendors send, field by field as their pages show it, and how they sign it.

Written from Twilio's "Media Streams - WebSocket Messages" and "Webhooks Security", and from Telnyx' "Media
Streaming over WebSockets" and "Webhook signing"; it shares nothing with the code it judges.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SILENCE = b"\xff" * 160
"""20 ms, by the µ-law."""

CALLER, CALLED = "+13122010094", "+13122123456"


class Vendor(Protocol):
    """One stream of one vendor's."""

    name: str
    stream_id: str

    def settings(self) -> dict[str, str]:
        """What the server must know to believe it."""
        ...

    def request(self, url: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the request that asks what to do with a call."""
        ...

    def opening(self, url: str) -> dict[str, str]:
        """Headers under which it opens a stream."""
        ...

    def connected(self) -> str: ...

    def start(self, parameters: Mapping[str, str]) -> str: ...

    def media(self, codes: bytes = SILENCE, *, chunk: int | None = None, track: str = "inbound") -> str: ...

    def dtmf(self, digit: str) -> str: ...

    def mark(self, name: str) -> str: ...

    def stop(self) -> str: ...


class Numbered:
    """Counts messages and pieces as a vendor does, in strings."""

    def __init__(self) -> None:
        self._messages = 0
        self._chunks = {"inbound": 0, "outbound": 0}

    def number(self) -> str:
        self._messages += 1
        return str(self._messages)

    def chunk(self, track: str, given: int | None) -> str:
        self._chunks[track] = self._chunks[track] + 1 if given is None else given
        return str(self._chunks[track])


class TwilioVendor(Numbered):
    """Twilio."""

    name = "twilio"
    auth_token = "12345678901234567890123456789012"

    def __init__(self) -> None:
        super().__init__()
        self.stream_id = "MZ18ad3ab5a668481ce02b83e7395059f0"

    def settings(self) -> dict[str, str]:
        return {"twilio_auth_token": self.auth_token}

    def signature(self, signed: str) -> str:
        return base64.b64encode(
            hmac.new(self.auth_token.encode(), signed.encode(), hashlib.sha1).digest()
        ).decode()

    def request(self, url: str) -> tuple[bytes, dict[str, str]]:
        fields = {"CallSid": "CA1", "From": CALLER, "To": CALLED, "Empty": ""}
        signed = url + "".join(name + fields[name] for name in sorted(fields))
        return urlencode(fields).encode(), {
            "content-type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": self.signature(signed),
        }

    def opening(self, url: str) -> dict[str, str]:
        return {"X-Twilio-Signature": self.signature(url)}

    def connected(self) -> str:
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self, parameters: Mapping[str, str]) -> str:
        return self._message(
            "start",
            start={
                "accountSid": "AC1",
                "streamSid": self.stream_id,
                "callSid": "CA1",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": dict(parameters),
            },
        )

    def media(self, codes: bytes = SILENCE, *, chunk: int | None = None, track: str = "inbound") -> str:
        return self._message(
            "media",
            media={
                "track": track,
                "chunk": self.chunk(track, chunk),
                "timestamp": "5",
                "payload": base64.b64encode(codes).decode(),
            },
        )

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._message("mark", mark={"name": name})

    def stop(self) -> str:
        return self._message("stop", stop={"accountSid": "AC1", "callSid": "CA1"})

    def _message(self, event: str, **more: Any) -> str:
        head = {"event": event, "sequenceNumber": self.number(), "streamSid": self.stream_id}
        return json.dumps({**head, **more})


class TelnyxVendor(Numbered):
    """Telnyx."""

    name = "telnyx"
    key = Ed25519PrivateKey.generate()

    def __init__(self) -> None:
        super().__init__()
        self.stream_id = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC"
        self.encoding = "PCMU"

    def settings(self) -> dict[str, str]:
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        return {"telnyx_public_key": base64.b64encode(self.key.public_key().public_bytes(*raw)).decode()}

    def request(self, url: str) -> tuple[bytes, dict[str, str]]:
        return self.request_at(time.time())

    def request_at(self, now_s: float) -> tuple[bytes, dict[str, str]]:
        body = urlencode({"CallSid": "v3:1", "From": CALLER, "To": CALLED}).encode()
        at = str(int(now_s))
        signature = self.key.sign(f"{at}|".encode() + body)
        return body, {
            "content-type": "application/x-www-form-urlencoded",
            "telnyx-timestamp": at,
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        }

    def opening(self, url: str) -> dict[str, str]:
        return {}

    def connected(self) -> str:
        return json.dumps({"event": "connected", "version": "1.0.0"})

    def start(self, parameters: Mapping[str, str]) -> str:
        return self._message(
            "start",
            start={
                "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
                "call_control_id": "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ",
                "call_session_id": "ff55a038-6f5d-11ef-9692-02420aeffb1f",
                "from": CALLER,
                "to": CALLED,
                "tags": ["TAG1", "TAG2"],
                "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
                "custom_parameters": dict(parameters),
                "media_format": {"encoding": self.encoding, "sample_rate": 8000, "channels": 1},
            },
        )

    def media(self, codes: bytes = SILENCE, *, chunk: int | None = None, track: str = "inbound") -> str:
        return self._message(
            "media",
            media={
                "track": track,
                "chunk": self.chunk(track, chunk),
                "timestamp": "5",
                "payload": base64.b64encode(codes).decode(),
            },
        )

    def dtmf(self, digit: str, *, occurred_at: str | None = None) -> str:
        at = occurred_at or datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return self._message("dtmf", occurred_at=at, dtmf={"digit": digit})

    def mark(self, name: str) -> str:
        return self._message("mark", mark={"name": name})

    def stop(self) -> str:
        return self._message("stop", stop={"user_id": "3E6F995F", "call_control_id": "v2:T02"})

    def _message(self, event: str, **more: Any) -> str:
        head = {"event": event, "sequence_number": self.number(), "stream_id": self.stream_id}
        return json.dumps({**head, **more})


VENDORS = (TwilioVendor, TelnyxVendor)
