"""API keys: by what name the server knows whoever shows one, and where it may listen without any."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import ip_address

from pydantic import SecretStr

from agentfield_rt.config import Settings
from agentfield_rt.plane.errors import Unprotected


class ApiKeys:
    """The keys of one server. Only their digests are kept here."""

    def __init__(self, keys: Mapping[str, SecretStr]) -> None:
        self._digests = tuple((name, _digest(key.get_secret_value())) for name, key in keys.items())

    def __bool__(self) -> bool:
        """Whether there are any; without, everybody is let in."""
        return bool(self._digests)

    def name_of(self, shown: str) -> str | None:
        """Whose key this is; None: nobody's."""
        digest, found = _digest(shown), None
        for name, known in self._digests:  # all of them: how long it takes says nothing
            if hmac.compare_digest(known, digest):
                found = name
        return found


def require_protection(settings: Settings) -> None:
    """A server without keys listens to this machine only.

    Raises:
        Unprotected: it would listen to others, and nothing says that this is meant.
    """
    if settings.api_keys or settings.open_to_network or _is_loopback(settings.host):
        return
    raise Unprotected(
        f"this server would listen on {settings.host} without API keys, and whoever reaches it could make "
        "calls at your cost; set AGENTFIELD_RT_API_KEYS, or AGENTFIELD_RT_OPEN_TO_NETWORK=true if something "
        "in front of it checks who asks"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: where it leads can change
        return False


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogateescape")).digest()
