"""STUN and TURN servers for a call, with what a caller needs to use them for a short while."""

import base64
import hashlib
import hmac
import time
from typing import Any

from agentfield_rt.caller_media import IceServer, IceSettings
from agentfield_rt.config import Settings

TURN_CREDENTIAL_S = 600
"""How long a credential begins new relays; one that was begun goes on."""


def ice_settings(settings: Settings, *, user: str) -> IceSettings:
    """The servers of the settings for one user of them.

    A TURN server takes whoever brings a user name with its end in seconds since 1970 and, as password, its
    HMAC under the secret it shares with us (draft-uberti-behave-turn-rest, "A REST API For Access To TURN
    Services"; coturn: `use-auth-secret`). So no lasting password leaves this machine.
    """
    plain = tuple(url for url in settings.ice_urls if url.startswith("stun"))
    relays = tuple(url for url in settings.ice_urls if not url.startswith("stun"))
    servers = [IceServer(urls=plain)] if plain else []
    if relays and settings.turn_secret is not None:
        username = f"{int(time.time()) + TURN_CREDENTIAL_S}:{user}"
        secret = settings.turn_secret.get_secret_value().encode()
        digest = hmac.digest(secret, username.encode(), hashlib.sha1)
        credential = base64.b64encode(digest).decode()
        servers.append(IceServer(urls=relays, username=username, credential=credential))
    return IceSettings(servers=tuple(servers), relay_only=settings.ice_relay_only)


def for_browser(ice: IceSettings) -> dict[str, Any]:
    """What a browser's `RTCPeerConnection` is to be made with (W3C WebRTC 4.2.1), in snake case."""
    servers = [
        {"urls": server.urls, "username": server.username, "credential": server.credential}
        if server.username is not None
        else {"urls": server.urls}
        for server in ice.servers
    ]
    return {"ice_servers": servers, "ice_transport_policy": "relay" if ice.relay_only else "all"}
