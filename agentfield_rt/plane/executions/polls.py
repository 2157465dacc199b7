"""Polls of executions that have not ended, answered before anything else: who waits asks ten times a second.

The guards are asked as for any other request, and the answer has the same headers. What is not such a poll,
or may need more (a page's origin, an execution that is over), goes the whole way.
"""

import msgspec
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from agentfield_rt.plane.access import ApiKeys
from agentfield_rt.plane.access.guard import AccessGuard
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.routes import STATUS
from agentfield_rt.plane.executions.views import status_view
from agentfield_rt.plane.http.guards import API_HEADERS, OwnNames

_PREFIX = STATUS.path.partition("{")[0]
_JSON = (b"content-type", b"application/json")
_ENCODE = msgspec.json.Encoder().encode


class WaitingPolls:
    """A shorter way for the most frequent request."""

    def __init__(
        self, app: ASGIApp, own_names: OwnNames, keys: ApiKeys, approver_key: SecretStr | None
    ) -> None:
        self._app = app
        self._own_names = own_names
        self._guard = AccessGuard(app, keys, approver_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = self._answer(scope)
        if body is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = STATUS
        headers = [_JSON, (b"content-length", b"%d" % len(body)), *API_HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Scope) -> bytes | None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(_PREFIX):
            return None
        plane = getattr(scope["app"].state, "plane", None)  # it may not be open yet
        if plane is None or any(name == b"origin" for name, _ in scope["headers"]):
            return None
        execution: Execution | None = plane.executions.in_memory(scope["path"][len(_PREFIX) :])
        if execution is None or execution.is_final:
            return None
        is_let_in = self._own_names.is_ours(scope) and self._guard.lets_in(scope)
        return _ENCODE(status_view(execution)) if is_let_in else None
