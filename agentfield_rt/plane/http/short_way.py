"""Hot routes, reached before the framework and its layers, which cost as much again as what they do.

The guards are asked as for any other request, and answers have the same headers. A request that a guard does
not let pass at once, or has to think about (a page's origin, a body of unknown length), goes the whole way.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentfield_journal import JournalError
from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane.access.guard import AccessGuard
from agentfield_rt.plane.http import guards
from agentfield_rt.plane.http.guards import API_HEADERS, BodySizes, OwnNames
from agentfield_rt.plane.http.hot_routes import Answer, Asked, HotRoute, send_answer
from agentfield_rt.plane.http.refusals import refusal_of

_UNKNOWN = frozenset({b"origin", b"transfer-encoding"})


class ShortWay:
    """Middleware that answers hot routes itself, and hands everything else on."""

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
        self._sizes = sizes
        self._ways: dict[str, list[_Way]] = {}
        for route in routes:
            self._ways.setdefault(route.operation.method, []).append(_Way.to(route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route(scope) if scope["type"] == "http" else None
        if route is None or not self._lets_pass(scope):
            await self._app(scope, receive, send)
            return
        scope["route"] = route.operation
        try:
            answer = await route.handle(Asked(scope, _InTime(receive)))
        except (RealtimeError, JournalError) as error:
            refusal = refusal_of(error)
            headers = tuple((name.lower().encode(), text.encode()) for name, text in refusal.headers.items())
            answer = Answer(refusal.body, refusal.status, headers)
        except _TooSlow:
            answer = Answer({"error": guards.TOO_SLOW}, 408)
        await send_answer(answer, send, API_HEADERS)

    def _lets_pass(self, scope: Scope) -> bool:
        return (
            _is_simple(scope, bytes_max=self._sizes.bytes_max(scope))
            and self._own_names.is_ours(scope)
            and self._guard.lets_in(scope)
        )

    def _route(self, scope: Scope) -> HotRoute | None:
        if getattr(scope["app"].state, "plane", None) is None:  # it is not open yet
            return None
        path: str = scope["path"]
        for way in self._ways.get(scope["method"], ()):
            if (parameters := way.parameters(path)) is not None:
                scope["path_params"] = parameters
                return way.route
        return None


@dataclass(frozen=True, slots=True)
class _Way:
    """The path of a hot route, which has one parameter at most."""

    route: HotRoute
    before: str
    name: str | None
    after: str

    @classmethod
    def to(cls, route: HotRoute) -> "_Way":
        before, _, rest = route.operation.path.partition("{")
        name, _, after = rest.partition("}")
        return cls(route, before, name or None, after)

    def parameters(self, path: str) -> dict[str, str] | None:
        """What stands in a path for the route's parameter; None for a path of another route."""
        if self.name is None:
            return {} if path == self.before else None
        if not (path.startswith(self.before) and path.endswith(self.after)):
            return None
        value = path[len(self.before) : len(path) - len(self.after)]
        return {self.name: value} if value and "/" not in value else None


def _is_simple(scope: Scope, *, bytes_max: int) -> bool:
    """Whether it comes from no page, with a body of a length that is known and allowed."""
    length = b"0"
    for name, value in scope["headers"]:
        if name in _UNKNOWN:
            return False
        if name == b"content-length":
            length = value
    return length.isdigit() and int(length) <= bytes_max


class _TooSlow(Exception):
    pass


class _InTime:
    """Receives a body as long as it comes in time."""

    __slots__ = ("_ends_at", "_receive")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ends_at = asyncio.get_running_loop().time() + guards.BODY_MAX_S

    async def __call__(self) -> Message:
        try:
            async with asyncio.timeout_at(self._ends_at):
                return await self._receive()
        except TimeoutError:
            raise _TooSlow from None
