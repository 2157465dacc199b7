"""What the shell offers after a tab, from the control plane: nothing when none answers at once."""

import os
from typing import Any

from agentfield_rt.cli.connection import SERVER_DEFAULT

ANSWER_WITHIN_S = 1.0


def complete_target(incomplete: str) -> list[str]:
    """Sessions that can be started."""
    found = _get("/api/v1/session-targets")
    return [each["target"] for each in found.get("targets", ()) if each["target"].startswith(incomplete)]


def complete_session(incomplete: str) -> list[tuple[str, str]]:
    """The latest sessions, and what they are."""
    found = _get("/api/v1/session-instances?limit=50")
    return [
        (each["session_id"], f"{each['target']}, {each['status']}")
        for each in found.get("sessions", ())
        if each["session_id"].startswith(incomplete)
    ]


def complete_capability(incomplete: str) -> list[tuple[str, str]]:
    """Reasoners and skills of all nodes."""
    return [
        (target, each["description"])
        for node in _get("/api/v1/nodes").get("nodes", ())
        for each in (*node["reasoners"], *node["skills"])
        if (target := f"{node['id']}.{each['id']}").startswith(incomplete)
    ]


def _get(path: str) -> dict[str, Any]:
    import httpx

    server = os.environ.get("AGENTFIELD_SERVER", SERVER_DEFAULT)
    key = os.environ.get("AGENTFIELD_API_KEY", "")
    try:
        answer = httpx.get(server.rstrip("/") + path, headers={"X-API-Key": key}, timeout=ANSWER_WITHIN_S)
        found: dict[str, Any] = answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return {}  # a shell that waits for a word has no place for an error
    return found
