"""Requests to addresses that somebody else chose: looked up once, no redirects, all bounded."""

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

from agentfield_rt import __version__
from agentfield_rt.plane.egress.connection import Answer, HttpConnection
from agentfield_rt.plane.egress.failures import NoAnswer, Unreachable
from agentfield_rt.plane.egress.policy import Address, EgressPolicy, parse_address

__all__ = ["Answer", "Bounds", "HttpClient"]

CONNECT_MAX_S = 5.0
IDLE_MAX_S = 2.0
"""Servers close what is idle after 5 s or so; a request that crosses that on the way would be in doubt."""

IDLE_CONNECTIONS_MAX = 16
"""Kept for each server."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request may take: time until the answer is whole, and how many bytes that has.

    Where it may have none, no body is waited for: the status is all that is wanted.
    """

    time_max_s: float
    answer_bytes_max: int


@dataclass(frozen=True, slots=True)
class _Idle:
    connection: HttpConnection
    since_s: float


class HttpClient:
    """Calls what its policy allows.

    A redirect is an answer like any other: where it leads is for whoever asked to judge.
    """

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._idle: dict[_Origin, list[_Idle]] = {}
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    @property
    def policy(self) -> EgressPolicy:
        return self._policy

    async def request(
        self,
        method: str,
        url: str,
        *,
        bounds: Bounds,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and return the whole answer, whatever its status.

        Raises:
            EgressRefused: the address may not be called.
            Unreachable: nobody got the request.
            NoAnswer: somebody may have got it, and no answer came in time.
            BadAnswer: somebody got it and answered with what cannot be taken.
            ValueError: a header cannot be sent.
        """
        address = parse_address(url)
        request = _write(method, address, headers or {}, body)
        within, is_sent = f"within {bounds.time_max_s:g} s", False
        try:
            async with asyncio.timeout(bounds.time_max_s):
                connection = self._take(address.origin) or await self._connect(address)
                is_sent = True
                answer = await connection.send(request, body_bytes_max=bounds.answer_bytes_max)
        except TimeoutError:
            if is_sent:
                raise NoAnswer(f"{address.authority} did not answer {within}") from None
            raise Unreachable(
                f"{address.authority} took no connection within {bounds.time_max_s:g} s"
            ) from None
        except NoAnswer as error:
            raise type(error)(f"{address.authority}: {error}") from None
        self._keep(address.origin, connection)
        return answer

    def close(self) -> None:
        """Give up every kept connection; what is under way goes on."""
        self._closed = True
        for kept in self._idle.values():
            for idle in kept:
                idle.connection.close()
        self._idle.clear()

    def _take(self, origin: _Origin) -> HttpConnection | None:
        """The one used last, if it can be used again."""
        kept = self._idle.get(origin, [])
        while kept:
            idle = kept.pop()
            if idle.connection.is_reusable and time.monotonic() - idle.since_s <= IDLE_MAX_S:
                return idle.connection
            idle.connection.close()
        return None

    def _keep(self, origin: _Origin, connection: HttpConnection) -> None:
        kept = self._idle.setdefault(origin, [])
        if self._closed or not connection.is_reusable or len(kept) >= IDLE_CONNECTIONS_MAX:
            connection.close()
            return
        kept.append(_Idle(connection, time.monotonic()))
        if len(kept) == 1:
            self._drop_old_later(origin)

    def _drop_old_later(self, origin: _Origin) -> None:
        asyncio.get_running_loop().call_later(IDLE_MAX_S, self._drop_old, origin)

    def _drop_old(self, origin: _Origin) -> None:
        """Close what has been idle for long, and look again while anything is kept."""
        kept, now_s = self._idle.get(origin, []), time.monotonic()
        while kept and now_s - kept[0].since_s >= IDLE_MAX_S:
            kept.pop(0).connection.close()
        if kept:
            self._drop_old_later(origin)
        else:
            self._idle.pop(origin, None)

    async def _connect(self, address: Address) -> HttpConnection:
        """To the first of its IP addresses that takes a connection.

        Raises:
            EgressRefused: it may not be called.
            Unreachable: none does.
        """
        why: str = "no address"
        for ip in await self._policy.resolve(address):
            try:
                async with asyncio.timeout(CONNECT_MAX_S):
                    return await self._open(address, ip)
            except TimeoutError:
                why = f"nothing within {CONNECT_MAX_S:g} s"
            except ssl.SSLError as error:
                why = f"TLS: {error.reason}"
            except OSError as error:
                why = error.strerror or type(error).__name__
        raise Unreachable(f"{address.authority} takes no connection ({why})")

    async def _open(self, address: Address, ip: str) -> HttpConnection:
        loop = asyncio.get_running_loop()
        if not address.is_tls:
            _, connection = await loop.create_connection(HttpConnection, ip, address.port)
            return connection
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # reads files
        _, connection = await loop.create_connection(
            HttpConnection, ip, address.port, ssl=self._tls, server_hostname=address.host
        )
        return connection


def _write(method: str, address: Address, headers: Mapping[str, str], body: bytes) -> bytes:
    """The request as bytes.

    Raises:
        ValueError: a header is none.
    """
    lines = [
        f"{method} {address.target} HTTP/1.1",
        f"Host: {address.authority}",
        f"User-Agent: agentfield-rt/{__version__}",
        f"Content-Length: {len(body)}",
    ]
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r} cannot be sent")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
