"""Plain routes for what is asked often: FastAPI's own cost as much again as what they do.

They are in the same application: the same guards stand before them, and errors are answered alike.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agentfield_rt.plane.errors import BadRequest
from agentfield_rt.plane.http.openapi import Operation

if TYPE_CHECKING:
    from agentfield_rt.plane.control_plane import ControlPlane

BodyT = TypeVar("BodyT")
Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_ENCODE = msgspec.json.Encoder().encode


class Asked(msgspec.Struct, frozen=True):
    """A request as a plain route gets it."""

    scope: Scope
    receive: Receive
    plane: "ControlPlane"

    @property
    def headers(self) -> Headers:
        headers: Headers = self.scope["headers"]
        return headers

    def parameter(self, name: str) -> str:
        """A part of the path."""
        value: str = self.scope["path_params"][name]
        return value

    async def body(self) -> bytes:
        """The whole body; `BodyLimit` bounds it.

        Raises:
            ClientDisconnect: the caller left.
        """
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            whole: bytes = message.get("body", b"")
            return whole
        pieces: list[bytes] = []
        while message["type"] == "http.request":
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await self.receive()
        raise ClientDisconnect

    async def json(self, decoder: msgspec.json.Decoder[BodyT]) -> BodyT:
        """The body as what the route takes; none at all counts as an empty object.

        Raises:
            BadRequest: it is something else. Says what is wrong, never what stood there.
        """
        try:
            return decoder.decode(await self.body() or b"{}")
        except msgspec.ValidationError as error:
            raise BadRequest(f"invalid request: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest("invalid request: the body is no JSON") from None


class Answer(msgspec.Struct, frozen=True):
    """What a plain route answers."""

    body: Any
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handle = Callable[[Asked], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class HotRoute:
    """A plain route: how it is documented, and what it does."""

    operation: Operation
    handle: Handle

    def route(self) -> Route:
        """The route as the framework takes it."""
        return Route(self.operation.path, _Endpoint(self), methods=[self.operation.method])


class _Endpoint:
    """One route as an ASGI application."""

    def __init__(self, route: HotRoute) -> None:
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route.operation  # whoever observes requests asks for its path
        await send_answer(await self._route.handle(Asked(scope, receive, scope["app"].state.plane)), send)


async def send_answer(answer: Answer, send: Send, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send an answer; `more` are headers that do not depend on it."""
    body = _ENCODE(answer.body)
    headers = [_JSON, (b"content-length", b"%d" % len(body)), *answer.headers, *more]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
