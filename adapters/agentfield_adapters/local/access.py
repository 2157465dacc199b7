"""Who may speak to the provider: any bearer, or one key when the provider was given one."""

from __future__ import annotations

import hmac

from starlette.requests import HTTPConnection

_SUBPROTOCOL_KEY = "openai-insecure-api-key."


def offered_key(connection: HTTPConnection) -> str:
    """Return the key of a request: a bearer, or a websocket subprotocol as browsers send it."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    for protocol in connection.headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(_SUBPROTOCOL_KEY):
            return protocol.strip().removeprefix(_SUBPROTOCOL_KEY)
    return ""


def is_welcome(connection: HTTPConnection, api_key: str | None) -> bool:
    """Return whether a request carries the provider's key, or any key when it has none."""
    offered = offered_key(connection)
    if api_key is None:
        return bool(offered)
    return hmac.compare_digest(offered.encode(), api_key.encode())
