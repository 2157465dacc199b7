"""Hot routes, reached before the framework and its layers, which cost as much again as what they do.

The guards are asked as for any other request, and answers have the same headers. A request that a guard does
not let pass at once, or has to think about (a page's origin, a body of unknown length), goes the whole way.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentfield_journal import JournalError
from agentfield_rt.errors import RealtimeError
from agentfield_rt.logs import REQUEST_ID
from agentfield_rt.plane.access.guard import AccessGuard
from agentfield_rt.plane.http import guards
from agentfield_rt.plane.http.guards import API_HEADERS, BodySizes, OwnNames
from agentfield_rt.plane.http.hot_routes import Answer, Asked, HotRoute, send_answer
from agentfield_rt.plane.http.patience import Patience, TooSlow
from agentfield_rt.plane.http.refusals import refusal_of
from agentfield_rt.plane.operation.requests import RAW_REQUEST_ID, Request

if TYPE_CHECKING:
    from agentfield_rt.plane.control_plane import ControlPlane

_UNKNOWN = frozenset({b"origin", b"transfer-encoding"})
_READ = _UNKNOWN | {b"host", b"content-length", RAW_REQUEST_ID}


class ShortWay:
    """The outermost of the middleware: answers hot routes itself, and hands everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[HotRoute],
        *,
        own_names: OwnNames,
        guard: AccessGuard,
        sizes: BodySizes,
    ) -> None:
        self._app = app
        self._own_names = own_names
        self._guard = guard
        self._patience = Patience()
        self._ways: dict[str, list[_Way]] = {}
        for route in routes:
            self._ways.setdefault(route.operation.method, []).append(_Way.to(route, sizes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = self._way(scope) if scope["type"] == "http" else None
        plane: ControlPlane | None = None if way is None else getattr(scope["app"].state, "plane", None)
        if way is None or plane is None:  # it is not open yet
            await self._app(scope, receive, send)
            return
        # Of a header that is there twice the first counts, as for whoever asks by name.
        found = {name: value for name, value in reversed(scope["headers"]) if name in _READ}
        if not (way.takes(found) and self._lets_pass(scope, found)):
            await self._app(scope, receive, send)
            return
        scope["route"] = way.route.operation
        request = Request(scope, found.get(RAW_REQUEST_ID, b""), plane.telemetry)
        token = REQUEST_ID.set(request.request_id)
        try:
            answer = await self._answer(way.route, Asked(scope, _InTime(receive, self._patience), plane))
            await send_answer(answer, send, (*API_HEADERS, request.header))
            request.status = answer.status
        except Exception as error:
            if not await request.admit(error, receive, send):
                raise
        finally:
            request.finish()
            REQUEST_ID.reset(token)

    async def _answer(self, route: HotRoute, asked: Asked) -> Answer:
        try:
            return await route.handle(asked)
        except (RealtimeError, JournalError) as error:
            refusal = refusal_of(error)
            headers = tuple((name.lower().encode(), text.encode()) for name, text in refusal.headers.items())
            return Answer(refusal.body, refusal.status, headers)
        except TooSlow:
            return Answer({"error": guards.TOO_SLOW}, 408)

    def _lets_pass(self, scope: Scope, found: dict[bytes, bytes]) -> bool:
        host = found.get(b"host", b"").decode("latin-1")
        return self._own_names.has(host, scope) and self._guard.lets_in(scope)

    def _way(self, scope: Scope) -> "_Way | None":
        path: str = scope["path"]
        for way in self._ways.get(scope["method"], ()):
            if (parameters := way.parameters(path)) is not None:
                scope["path_params"] = parameters
                return way
        return None


@dataclass(frozen=True, slots=True)
class _Way:
    """The path of a hot route, which has one parameter at most."""

    route: HotRoute
    bytes_max: int
    before: str
    name: str | None
    after: str

    @classmethod
    def to(cls, route: HotRoute, sizes: BodySizes) -> "_Way":
        before, _, rest = route.operation.path.partition("{")
        name, _, after = rest.partition("}")
        return cls(route, sizes.bytes_max({"path": route.operation.path}), before, name or None, after)

    def parameters(self, path: str) -> dict[str, str] | None:
        """What stands in a path for the route's parameter; None for a path of another route."""
        if self.name is None:
            return {} if path == self.before else None
        if not (path.startswith(self.before) and path.endswith(self.after)):
            return None
        value = path[len(self.before) : len(path) - len(self.after)]
        return {self.name: value} if value and "/" not in value else None

    def takes(self, headers: dict[bytes, bytes]) -> bool:
        """Whether it comes from no page, with a body of a length that is known and allowed."""
        if not _UNKNOWN.isdisjoint(headers):
            return False
        length = headers.get(b"content-length", b"0")
        return length.isdigit() and int(length) <= self.bytes_max


class _InTime:
    """Receives a body as long as it comes in time."""

    __slots__ = ("_ends_at", "_patience", "_receive")

    def __init__(self, receive: Receive, patience: Patience) -> None:
        self._receive = receive
        self._patience = patience
        self._ends_at = asyncio.get_running_loop().time() + guards.BODY_MAX_S

    async def __call__(self) -> Message:
        return await self._patience.receive(self._receive, ends_at=self._ends_at)
