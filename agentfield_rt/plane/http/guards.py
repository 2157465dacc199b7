"""What every request and answer passes: our own names, no foreign page, bounded bodies, safe headers."""

import asyncio
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX = 256 * 1024

BODY_MAX_S = 30.0
"""How long a body may take to come."""
TOO_SLOW = f"the body did not come within {BODY_MAX_S:.0f} s"
_WORK = re.compile(
    r"/api/v1/(execute/.+|executions/[^/]+/(status|restart)|workflow/executions/events|nodes/register)"
)
"""Bodies that may hold anything an agent is given or made."""

PUBLIC_PATHS = ("/api/v1/telephony/", "/api/v1/webhooks/")
"""Where whoever asks has to show who it is."""

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[\w.-]+)(:\d+)?", re.ASCII)
_ANOTHER_NAME = (
    "this server does not answer under the name in the Host header; "
    "AGENTFIELD_RT_HOSTS, a JSON list, says under which names it does"
)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_CACHE = b"cache-control"
_STORED = {is_api: (_CACHE, b"no-store" if is_api else b"no-cache") for is_api in (True, False)}
API_HEADERS = (*_RAW_HEADERS, _STORED[True])
"""What `SecurityHeaders` adds to an answer of the API."""
_DOCS = ("/docs", "/redoc")


class SecurityHeaders:
    """Adds the headers to every answer; the API's documentation page brings its own scripts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_DOCS):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                raw: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
                given = {name.lower() for name, _ in raw}
                ours = (*_RAW_HEADERS, _STORED["/api/" in scope["path"]])
                message["headers"] = raw + [header for header in ours if header[0] not in given]
            await send(message)

        await self._app(scope, receive, send_with_headers)


@lru_cache(maxsize=64)
def _name_in(host: str) -> str | None:
    """The name that a Host header asks for: nearly all ask for the same few."""
    written = _HOST.fullmatch(host.lower())
    return None if written is None else written["name"]


class OwnNames:
    """Refuses requests under a name that is not this server's: a page could give it one of its own.

    Args:
        names: As a Host header writes them, without a port; `*.example.com` is every name below, `*` any.
        public_name: Under this one, whoever is on the internet asks: it has `PUBLIC_PATHS` and no more.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], public_name: str | None = None) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._public_name = public_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self.is_ours(scope):
            await JSONResponse({"error": _ANOTHER_NAME}, 400)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def is_ours(self, scope: Scope) -> bool:
        """Whether a request asks for this server by a name that it has, and for what is under that name."""
        return self.has(Headers(scope=scope).get("host", ""), scope)

    def has(self, host: str, scope: Scope) -> bool:
        """As `is_ours`, of a request with this Host header."""
        if "*" in self._names:
            return True
        name = _name_in(host)
        if name is None:
            return False
        if name == self._public_name and name not in self._names:
            path: str = scope["path"]
            return path.removeprefix(scope.get("root_path", "")).startswith(PUBLIC_PATHS)
        parents = (f"*{name[at:]}" for at, character in enumerate(name) if character == ".")
        return name in self._names or any(parent in self._names for parent in parents)


def is_same_origin(headers: Headers, others: Container[str] = ()) -> bool:
    """Whether a request comes from a page of this server, or of an origin in `others`.

    Whoever is no browser sends no origin.
    """
    origin = headers.get("origin")
    return origin is None or origin in others or urlsplit(origin).netloc == headers.get("host")


class SameOrigin:
    """Refuses what a page of another origin wants done: a browser sends that without asking anybody.

    Args:
        others: Origins that may, exactly as a browser writes them.
    """

    def __init__(self, app: ASGIApp, others: Container[str] = ()) -> None:
        self._app = app
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changes_something = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes_something and not is_same_origin(Headers(scope=scope), self._others):
            answer = JSONResponse({"error": "requests of another origin's pages are refused"}, 403)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class BodySizes:
    """How large the body of a request may be.

    Attributes:
        work_bytes_max: Of work, of what came of it and of registrations; of any other `BODY_BYTES_MAX`.
    """

    work_bytes_max: int

    def bytes_max(self, scope: Scope) -> int:
        """Of this request."""
        return self.work_bytes_max if _is_work(scope) else BODY_BYTES_MAX

    def refusal(self, scope: Scope) -> str:
        """What whoever sent more is told."""
        too_large = f"the body is larger than {self.bytes_max(scope)} bytes"
        return f"{too_large}, which is AGENTFIELD_RT_WORK_BYTES_MAX" if _is_work(scope) else too_large


class BodyLimit:
    """Refuses a body that says it is too large; one that lies about it, or never comes, is cut off."""

    def __init__(self, app: ASGIApp, sizes: BodySizes) -> None:
        self._app = app
        self._sizes = sizes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        at_most = self._sizes.bytes_max(scope)
        too_large = self._sizes.refusal(scope)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > at_most:
            answer = JSONResponse({"error": too_large}, 413)
            await answer(scope, receive, send)
            return
        read_bytes, has_begun, is_whole = 0, False, False
        ends_at = asyncio.get_running_loop().time() + BODY_MAX_S

        async def receive_bounded() -> Message:
            nonlocal read_bytes, is_whole
            if is_whole:  # what comes now is that the caller leaves
                return await receive()
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, TOO_SLOW) from None
            is_whole = not message.get("more_body", False)
            read_bytes += len(message.get("body", b""))
            if read_bytes <= at_most:
                return message
            if has_begun:  # too late for another answer
                return {"type": "http.disconnect"}
            raise HTTPException(413, too_large)

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        await self._app(scope, receive_bounded, send_noted)


def _is_work(scope: Scope) -> bool:
    path: str = scope["path"]
    return _WORK.fullmatch(path.removeprefix(scope.get("root_path", ""))) is not None
