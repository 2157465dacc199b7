"""Which addresses this server calls: its own machine, and what the operator lists. Connects to none.

A name is looked up once, and what it answered is connected to: one that says something else the next time
(DNS rebinding) changes nothing.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from agentfield_rt.plane.egress.failures import EgressRefused, MalformedAddress, Unreachable

URL_CHARS_MAX = 2_048
LOOKUP_MAX_S = 5.0

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_VISIBLE = re.compile(
    r"[\x21-\x5b\x5d-\x7e]+"
)  # no backslash: what it means in an address, two readers disagree
_LABEL = "[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """An `http` or `https` URL in its parts.

    Attributes:
        host: A name in lower case, or an IP address without brackets.
        target: Path and query, as they stand in a request.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Host and port as the `Host` header writes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who is connected to."""
        return self.scheme, self.host, self.port


def parse_address(url: str) -> Address:
    """The parts of a URL that can be called at all.

    Raises:
        MalformedAddress: it is no URL, not http, or carries credentials or a fragment.
    """
    if len(url) > URL_CHARS_MAX or not _VISIBLE.fullmatch(url):
        raise MalformedAddress(
            f"the address has to be a URL of at most {URL_CHARS_MAX} visible ASCII characters"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MalformedAddress("the address is no URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise MalformedAddress("the address has to begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise MalformedAddress("the address must carry no user name or password")
    if parts.fragment:
        raise MalformedAddress("the address must have no fragment")
    if port == 0:
        raise MalformedAddress("the address must not have port 0")
    host = parts.hostname.lower()
    if _as_ip(host) is None and not _NAME.fullmatch(host):
        raise MalformedAddress("the host in the address is neither a name nor an IP address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, host.removesuffix("."), port or _PORTS[parts.scheme], target)


class EgressPolicy:
    """Loopback, and what is listed.

    Args:
        hosts: Names (`agents.example.com`), every name below one (`*.svc.cluster.local`), IP addresses and
            networks (`10.0.0.0/8`). A listed name is trusted wherever it leads; of any other name the
            addresses it leads to have to be listed.

    Raises:
        ValueError: one is none of these.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._parents: list[str] = []
        self._networks: list[Network] = []
        for host in hosts:
            self._list(host.strip().lower())

    def _list(self, host: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(host))
            return
        except ValueError as error:
            if "/" in host:
                raise ValueError(f"{host!r} is no network: {error}") from None
        name = host.removeprefix("*.")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{host!r} is no host name, no IP address and no network such as 10.0.0.0/8")
        if name == host:
            self._names.add(name)
        else:
            self._parents.append(f".{name}")

    def allows_name(self, host: str) -> bool:
        """Whether a name is listed."""
        return host in self._names or any(host.endswith(parent) for parent in self._parents)

    def allows_ip(self, address: str) -> bool:
        """Whether an IP address is this machine's own, or listed."""
        ip = _as_ip(address)
        if ip is None:
            return False
        return ip.is_loopback or any(ip in network for network in self._networks)

    async def resolve(self, address: Address) -> tuple[str, ...]:
        """The IP addresses to connect to, in the order to try them.

        Raises:
            EgressRefused: it may not be called.
            Unreachable: its name leads nowhere.
        """
        found: tuple[str, ...] = (address.host,)
        if _as_ip(address.host) is None:
            found = await _look_up(address.host, address.port)
            if self.allows_name(address.host):
                return found
        allowed = tuple(ip for ip in found if self.allows_ip(ip))
        if not allowed:
            raise EgressRefused(
                f"this server calls only its own machine and what is listed in AGENTFIELD_RT_AGENT_HOSTS, "
                f"which {address.host} is not"
            )
        return allowed


async def _look_up(name: str, port: int) -> tuple[str, ...]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_MAX_S):
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        raise Unreachable(f"the name {name} could not be looked up") from None
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def _as_ip(text: str) -> Ip | None:
    """An address as it is really reached: one of IPv4 within IPv6 is one of IPv4."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
