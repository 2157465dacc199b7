"""Webhooks signed as Standard Webhooks says (https://www.standardwebhooks.com): signs, checks. No HTTP."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

__all__ = ["WebhookRefused", "WebhookSecret"]

OLD_S_MAX = 300
"""How far the sender's clock, or the way here, may be off: what was signed longer ago is a replay."""

_PREFIX = "whsec_"
_KEY_BYTES_MIN, _KEY_BYTES_MAX = 24, 64
_ID_CHARS_MAX = 256
_SIGNATURES_MAX = 16
_VERSION = "v1,"


class WebhookRefused(Exception):
    """It is not from whom it should be, or not of now; the text says which."""


class WebhookSecret:
    """What the sender and the receiver of a webhook both know. It is shown in no repr.

    Args:
        text: `whsec_` and 24 to 64 bytes as base64.

    Raises:
        ValueError: it is none; what was given is not repeated.
    """

    __slots__ = ("_key",)

    def __init__(self, text: str) -> None:
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
            raise ValueError(
                f"a webhook's secret is {_PREFIX} and, as base64, {_KEY_BYTES_MIN} to {_KEY_BYTES_MAX} bytes"
            )
        self._key = key

    def headers(self, webhook_id: str, body: bytes, *, at_s: int) -> dict[str, str]:
        """What a sender adds to a request at this second since the epoch. A retry has the same id."""
        signature = base64.b64encode(self._signature(webhook_id, str(at_s), body)).decode()
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": f"{_VERSION}{signature}",
        }

    def verified(self, headers: Mapping[str, str], body: bytes, *, now_s: int) -> str:
        """Check a request: its id, under which a receiver remembers that it has had this one.

        Args:
            headers: With names in lower case, or of a mapping that does not care.

        Raises:
            WebhookRefused: it is unsigned, signed by somebody else, or signed too long ago.
        """
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        webhook_id, at_s, signatures = (headers.get(name, "") for name in names)
        if not (webhook_id and at_s and signatures) or len(webhook_id) > _ID_CHARS_MAX:
            raise WebhookRefused("the webhook is not signed")
        if not (
            at_s.isascii() and at_s.isdecimal() and len(at_s) < 16 and abs(now_s - int(at_s)) <= OLD_S_MAX
        ):
            raise WebhookRefused(f"the webhook was not signed within the last {OLD_S_MAX} s")
        wanted = self._signature(webhook_id, at_s, body)
        given = signatures.split(" ")[:_SIGNATURES_MAX]  # of each secret while they are rotated
        if not any([hmac.compare_digest(wanted, _decoded(signature)) for signature in given]):
            raise WebhookRefused("the webhook's signature is not by the secret that is set here")
        return webhook_id

    def _signature(self, webhook_id: str, at_s: str, body: bytes) -> bytes:
        signed = f"{webhook_id}.{at_s}.".encode() + body
        return hmac.new(self._key, signed, hashlib.sha256).digest()


def _decoded(signature: str) -> bytes:
    """Empty for one of another version, or that is none."""
    if not signature.startswith(_VERSION):
        return b""
    try:
        return base64.b64decode(signature.removeprefix(_VERSION), validate=True)
    except (binascii.Error, ValueError):
        return b""
