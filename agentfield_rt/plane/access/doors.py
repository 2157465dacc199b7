"""Which paths need what of a caller. A path that is named nowhere here needs a key: a new route is closed."""

import re
from enum import Enum

_PUBLIC_API = re.compile(r"/api/v1/(did/(document|resolve)/.+|(telephony|webhooks)/.+)")
"""AgentField's exempt paths, and where whoever asks is believed by a signature."""

_SESSION_USE = re.compile(
    r"/api/v1/(session-instances|sessions)/[^/]+/"
    r"(realtime-offer|media-offer|media|events|input|interrupt|close|tools/[^/]+)"
)
_APPROVALS = re.compile(r"/api/v1/(approvals(/.+)?|nodes/[^/]+/decision|webhooks/approval-response)")
_NODES = re.compile(r"/api/v1/nodes(/[^/]+)?")
"""Whoever approves nodes may look at them, and remove them."""

_PAGE_METHODS = ("GET", "HEAD")


class Door(Enum):
    """What opens a path."""

    NOTHING = "nothing"
    KEY = "key"
    SESSION = "a key, or the session's token"
    APPROVER = "a key, or the approvers'"


def door_of(path: str, method: str) -> Door:
    """What a request needs. `path` is within the plane, wherever that is mounted.

    Outside of `/api/` there are only the page, health, metrics and the documentation.
    """
    if not path.startswith("/api/"):
        return Door.NOTHING if method in _PAGE_METHODS else Door.KEY
    if _APPROVALS.fullmatch(path):
        return Door.APPROVER
    if _PUBLIC_API.fullmatch(path):
        return Door.NOTHING
    if _SESSION_USE.fullmatch(path):
        return Door.SESSION
    if method in ("GET", "DELETE") and _NODES.fullmatch(path):
        return Door.APPROVER
    return Door.KEY
