"""What `af session` asks of a control plane, one function for each command that asks once."""

import contextlib
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

from agentfield_rt.cli.connection import Connection, segment
from agentfield_rt.cli.failures import Failure
from agentfield_rt.cli.http import SDP
from agentfield_rt.cli.printing import stderr

SESSIONS = "/api/v1/session-instances"


def start(connection: Connection, target: str, wishes: Mapping[str, str]) -> Any:
    """The 201 body. Every wish is sent, empty ones too, as AgentField does."""
    path = f"/api/v1/session-targets/{segment(target)}/start"
    return connection.ask(lambda plane: plane.post_json("session start", path, wishes))


def offer(connection: Connection, session_id: str, query: Mapping[str, str], *, body: bytes) -> bytes:
    """The SDP answer, byte for byte."""
    named = urlencode({name: value for name, value in query.items() if value})
    path = f"{SESSIONS}/{segment(session_id)}/realtime-offer?{named}".rstrip("?")
    return connection.ask(lambda plane: plane.post("session offer", path, body=body, headers=SDP))


def tool(connection: Connection, session_id: str, name: str, *, body: Mapping[str, Any]) -> Any:
    """The 202 body: an execution."""
    path = f"{SESSIONS}/{segment(session_id)}/tools/{segment(name)}"
    return connection.ask(lambda plane: plane.post_json("session tool", path, body))


def recording(connection: Connection, session_id: str, *, to: str) -> None:
    """Write the recording to the file `to`, or to stdout; stderr says if it is shorter than the call.

    Raises:
        Failure: there is none, or it cannot be written there.
    """
    if to == "-" and sys.stdout.isatty():
        raise Failure("a recording is no text; pass --to FILE, or send it into a file or a player")
    path = f"{SESSIONS}/{segment(session_id)}/recording"

    headers = connection.ask(lambda plane: plane.download("session recording", path, lambda: _opened(to)))
    status = headers.get("X-Recording-Status", "")
    if status != "stored":
        stderr().print(_SHORT.get(status, "nobody says whether this is all of the recording"))


_SHORT = {
    "recording": "the call is still being recorded: this is what is kept by now",
    "incomplete": "the recording broke off before the call ended: this is what was kept",
}


@contextlib.contextmanager
def _opened(to: str) -> Generator[BinaryIO]:
    """The file to write to; the shell's own for `-`."""
    if to == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with Path(to).open("wb") as file:
            yield file
    except OSError as error:
        raise Failure(f"cannot write {to}: {error.strerror}") from error


def close(connection: Connection, session_id: str, *, reason: str) -> Any:
    """What the server says of its end."""
    path = f"{SESSIONS}/{segment(session_id)}/close"
    return connection.ask(lambda plane: plane.post_json("session close", path, {"reason": reason}))


def workflows(connection: Connection, session_id: str) -> Any:
    """The envelope of AgentField's query endpoint."""
    query = {"resource": "workflows", "filters": {"session_id": session_id}}
    return connection.ask(lambda plane: plane.post_json("session workflows", "/api/v1/agentic/query", query))


def approvals(connection: Connection, session_id: str) -> Any:
    """What waits for an answer; without a session, everywhere."""
    query = f"?{urlencode({'session_id': session_id})}" if session_id else ""
    return connection.ask(lambda plane: plane.get_json("session approvals", f"/api/v1/approvals{query}"))


def decide(connection: Connection, approval_id: str, decision: str, *, by: str) -> Any:
    """What holds now."""
    path = f"/api/v1/approvals/{segment(approval_id)}/decision"
    body = {"decision": decision, "decided_by": by or None}
    what = "session deny" if decision == "denied" else "session approve"
    return connection.ask(lambda plane: plane.post_json(what, path, body))
