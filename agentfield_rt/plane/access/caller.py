"""Who asks. Decided once for each request, by the guard; knows nothing of how."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

_SCOPE_KEY = "agentfield_rt.caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    Attributes:
        key: The name of the API key that was shown. None: the server has no keys, or a session's token was.
        session_id: The only session it may use, where that session's token was shown.
    """

    key: str | None = None
    session_id: str | None = None

    def may_use(self, session_id: str, owner: str | None) -> bool:
        """Whether a session, started with the key `owner`, is any of this caller's business.

        One that no key started (a phone call, or one from before there were keys) is every key's.
        """
        if self.session_id is not None:
            return session_id == self.session_id
        return self.key is None or owner in (None, self.key)


def caller_of(scope: MutableMapping[str, Any]) -> Caller:
    """Who sent the request of this ASGI scope."""
    caller = scope[_SCOPE_KEY]
    assert isinstance(caller, Caller)
    return caller


def set_caller(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Note who sent the request; the guard's to do."""
    scope[_SCOPE_KEY] = caller
