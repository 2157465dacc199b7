"""Session tokens: what a browser gets instead of a key. Each opens one session, for as long as that lives."""

import secrets
from hashlib import sha256

PREFIX = "sst_"


class SessionTokens:
    """The tokens of live sessions. Only digests are kept; they end with the process, as its sessions do."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, str] = {}
        self._digests: dict[str, bytes] = {}

    def issue(self, session_id: str) -> str:
        """A token for a session, 256 random bits. It is shown once, and replaces an earlier one."""
        token = f"{PREFIX}{secrets.token_urlsafe(32)}"
        self.revoke(session_id)
        digest = _digest(token)
        self._sessions[digest], self._digests[session_id] = session_id, digest
        return token

    def session_of(self, shown: str) -> str | None:
        """The session that a token opens; None: there is no such token, or it has expired."""
        # Found by its digest, which nobody can choose: how long that takes says nothing.
        return self._sessions.get(_digest(shown)) if shown.startswith(PREFIX) else None

    def revoke(self, session_id: str) -> None:
        """A session's token opens nothing any more."""
        digest = self._digests.pop(session_id, None)
        if digest is not None:
            del self._sessions[digest]


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogateescape")).digest()
