"""Where a provider's HTTP and websocket addresses are and how to be let in. Opens nothing."""

import functools
import logging
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

from agentfield_adapters.openai.dialect import Dialect
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.ports import ProviderSettings

# These log addresses at INFO and headers at DEBUG, where a key may be; whoever wants that sets a level.
for _library in ("httpcore", "httpx"):
    if logging.getLogger(_library).level == logging.NOTSET:
        logging.getLogger(_library).setLevel(logging.WARNING)

_DEFAULT_PATH = "/v1"  # a bare http://host:port is what a provider process prints
_KEY_CHARS_MIN = 12
"""Shorter ones are no secrets, but what a server on this machine is content with, and words of speech."""
_REMOVED = b"key-removed"
_HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's base URL without a trailing slash. Headers and query may carry a key: shown in no repr.

    Attributes:
        query: What every address ends with, such as an `api-version`.
        key: Taken out of whatever the server says.
    """

    base_url: str
    headers: dict[str, str] = field(repr=False)
    through_proxy: bool = True
    query: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)

    @property
    def is_secure(self) -> bool:
        return self.base_url.startswith("https:")

    def without_key(self, said: bytes) -> bytes:
        """What the server said, without our key: some quote it, and what they say is kept and told."""
        return said.replace(self.key, _REMOVED) if self.key else said

    def url(self, path: str) -> str:
        return f"{self.base_url}/{path}" + (f"?{self.query}" if self.query else "")

    def socket_url(self, **query: str) -> str:
        """The realtime websocket: `model` makes a session, `call_id` joins one."""
        scheme = "wss" if self.is_secure else "ws"
        asked = "&".join(filter(None, (urlencode(query), self.query)))
        return f"{scheme}:{self.base_url.partition(':')[2]}/realtime?{asked}"


def endpoint(dialect: Dialect, settings: ProviderSettings) -> Endpoint:
    """Find out where to connect.

    Raises:
        ProviderError: an address or a key is missing or cannot be one; nothing was tried.
    """
    base_url = settings.base_url or dialect.base_url
    if base_url is None:
        raise ProviderError(
            f"the {dialect.name} provider has no address: {dialect.where_from}",
            reason=Reason.INVALID_REQUEST,
        )
    parts = urlsplit(base_url)
    if parts.scheme not in _HTTP_SCHEMES or not parts.hostname:
        raise ProviderError(
            f"the {dialect.name} provider's base URL must look like http://host:port/v1",
            reason=Reason.INVALID_REQUEST,
        )
    if "@" in parts.netloc:  # errors name the address
        raise ProviderError(
            f"the {dialect.name} provider's base URL must not hold a user name or password; use the API key",
            reason=Reason.INVALID_REQUEST,
        )
    path = parts.path.rstrip("/") or _DEFAULT_PATH
    plain_url = urlunsplit((_HTTP_SCHEMES[parts.scheme], parts.netloc, path, "", ""))
    key = _key(dialect, settings.api_key)
    return Endpoint(
        plain_url,
        {"api-key": key} if dialect.auth == "api-key" else {"Authorization": f"Bearer {key}"},
        dialect.through_proxy,
        parts.query,
        key.encode() if len(key) >= _KEY_CHARS_MIN else b"",
    )


def _key(dialect: Dialect, api_key: str | None) -> str:
    key = (api_key or dialect.default_key or "").strip()
    if not key:
        raise ProviderError(
            f"the {dialect.name} provider needs an API key and none is set", reason=Reason.UNAUTHORIZED
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ProviderError(
            f"the {dialect.name} API key has characters no key has", reason=Reason.UNAUTHORIZED
        )
    return key


@functools.cache
def tls_context() -> ssl.SSLContext:
    """One for the process: loading the certificates takes longer than a call may wait."""
    return ssl.create_default_context()
