"""The guard in front of every route: no key, no token, no entry. Says who asks to whatever is behind it."""

import hmac
from urllib.parse import parse_qsl

from pydantic import SecretStr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agentfield_rt.plane.access.caller import Caller, set_caller
from agentfield_rt.plane.access.doors import Door, door_of
from agentfield_rt.plane.access.keys import ApiKeys

SHOWN_CHARS_MAX = 1024
"""Of a key or a token. Longer ones are none of ours."""

_QUERY_NAMES = ("api_key", "session_token")

EVERYBODY = Caller()
NOBODY = Caller(session_id="")
"""Whoever needs to show nothing. No session is their business."""

_UNAUTHORISED = {
    "error": "unauthorized",
    "message": (
        "this server needs an API key, as X-API-Key or as a bearer token; "
        "a session's own routes also take the session_token of its start"
    ),
}


class AccessGuard:
    """Lets in whoever shows a key, or a session's token where that is enough.

    Args:
        keys: Without any, everybody is let in.
        approver_key: Opens the approvals too, and nothing else.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, approver_key: SecretStr | None = None) -> None:
        self._app = app
        self._keys = keys
        self._approver_key = approver_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self.lets_in(scope):
            refusal = JSONResponse(_UNAUTHORISED, 401, headers={"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def lets_in(self, scope: Scope) -> bool:
        """Whether a request shows what its route asks for; if so, whatever is behind is told who asks."""
        caller = self._caller(scope) if self._keys else EVERYBODY
        if caller is not None:
            set_caller(scope, caller)
        return caller is not None

    def _caller(self, scope: Scope) -> Caller | None:
        shown = _shown(scope)
        if shown is not None and (key := self._keys.name_of(shown)) is not None:
            return Caller(key)  # most of them are agents, whose key opens everything
        path: str = scope["path"]
        match door_of(path.removeprefix(scope.get("root_path", "")), scope.get("method", "GET")):
            case Door.NOTHING:
                return NOBODY
            case Door.SESSION if shown is not None:
                session_id = scope["app"].state.plane.sessions.tokens.session_of(shown)
                return Caller(session_id=session_id) if session_id is not None else None
            case Door.APPROVER if shown is not None and self._is_approver(shown):
                return EVERYBODY  # decides for every session
            case _:
                return None

    def _is_approver(self, shown: str) -> bool:
        if self._approver_key is None:
            return False
        known = self._approver_key.get_secret_value().encode()
        return hmac.compare_digest(known, shown.encode(errors="replace"))


def _shown(scope: Scope) -> str | None:
    """What a request shows. Browsers cannot give a websocket or an event stream a header."""
    shown: str | None = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            shown = value.decode("latin-1")
            break
        if name == b"authorization":
            scheme, _, rest = value.decode("latin-1").partition(" ")
            shown = rest.strip() if scheme.lower() == "bearer" else None
    if shown is None and scope["query_string"]:
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=100))
        shown = next((query[name] for name in _QUERY_NAMES if name in query), None)
    return shown if shown and len(shown) <= SHOWN_CHARS_MAX else None
