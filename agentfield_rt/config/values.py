"""What a setting may hold, checked when it is read: a wrong one is noticed at the start, not at a call.

No message repeats what was given: it may be a key.
"""

import base64
import binascii
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, StringConstraints

from agentfield_rt.webhooks import WebhookSecret

_TELNYX_KEY_BYTES = 32


def _checked_service_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its message repeats what was given
        is_address = False
    if not is_address or any(character.isspace() for character in url):
        raise ValueError("not the address of a server, such as http://127.0.0.1:9000")
    return url.rstrip("/")


def _checked_local_url(url: str) -> str:
    if urlsplit(url).path.endswith("/v1"):
        raise ValueError("give the address without /v1, as `af provider` prints it")
    return url


def _checked_webhook_key(key: SecretStr) -> SecretStr:
    WebhookSecret(key.get_secret_value())
    return key


def _checked_telnyx_key(key: SecretStr) -> SecretStr:
    try:
        decoded = base64.b64decode(key.get_secret_value(), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != _TELNYX_KEY_BYTES:
        raise ValueError(f"not {_TELNYX_KEY_BYTES} bytes in base64, as Telnyx' portal shows its public key")
    return key


def _checked_memory_url(url: SecretStr) -> SecretStr:
    given = url.get_secret_value()
    if given != "memory:" and not given.startswith(("postgresql://", "postgres://")):
        raise ValueError("memory is kept at a postgresql:// address, or, until the process ends, in memory:")
    return url


IceUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^(stuns?:[^\s?:]+(:\d{1,5})?|turns?:[^\s?:]+(:\d{1,5})?(\?transport=(udp|tcp))?)$",
        max_length=256,
    ),
]
"""The address of a STUN (RFC 7064) or TURN server (RFC 7065)."""

PublicUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[\w.-]+(:\d{1,5})?(/[\w./-]*)?$", max_length=256)
]
"""An address that the internet has for this server; vendors use no other scheme."""

ServiceUrl = Annotated[str, StringConstraints(max_length=2_048), AfterValidator(_checked_service_url)]
"""The address of a server that we call, over HTTP or HTTPS; without the last slash."""

LocalUrl = Annotated[ServiceUrl, AfterValidator(_checked_local_url)]
"""Where a local provider listens."""

WebhookKey = Annotated[SecretStr, AfterValidator(_checked_webhook_key)]
"""`whsec_` and base64 (`WebhookSecret`)."""

MemoryUrl = Annotated[SecretStr, AfterValidator(_checked_memory_url)]
"""A place for memory that is no file; it may hold a password."""

TelnyxKey = Annotated[SecretStr, AfterValidator(_checked_telnyx_key)]
"""An Ed25519 public key in base64."""

DialectName = Literal["openai", "azure", "compatible", "compatible_beta"]
"""How a realtime server differs from OpenAI's; the adapters know what each means."""

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
