"""AgentField's workflow headers: where a call belongs. The execution itself always gets an id of ours."""

import re
from collections.abc import Iterable

import msgspec

from agentfield_rt.plane.errors import BadRequest

ID_PATTERN = r"[A-Za-z0-9_.:-]{1,128}"
_ID = re.compile(ID_PATTERN.encode())
KEY_CHARS_MAX = 256

_NAMES = {
    b"x-run-id": "X-Run-ID",
    b"x-workflow-id": "X-Workflow-ID",
    b"x-session-id": "X-Session-ID",
    b"x-actor-id": "X-Actor-ID",
    b"x-parent-execution-id": "X-Parent-Execution-ID",
    b"x-execution-id": "X-Execution-ID",
}
_KEY = b"idempotency-key"


class Workflow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a call belongs; an empty header counts as none.

    Attributes:
        session_id: Perhaps of a session that was never started here: agents make up some.
        parent_execution_id: The caller's own execution, which need not be known here either.
    """

    run_id: str | None = None
    session_id: str | None = None
    actor_id: str | None = None
    parent_execution_id: str | None = None
    idempotency_key: str | None = None


def workflow_of(headers: Iterable[tuple[bytes, bytes]]) -> Workflow:
    """Read the headers of a request as ASGI gives them.

    Raises:
        BadRequest: one of them is no id.
    """
    found: dict[bytes, str] = {}
    key: str | None = None
    for name, value in headers:
        if name in _NAMES and value:
            if _ID.fullmatch(value) is None:
                raise BadRequest(f"{_NAMES[name]} must match {ID_PATTERN}")
            found[name] = value.decode()
        elif name == _KEY and value:
            if len(value) > KEY_CHARS_MAX:
                raise BadRequest(f"Idempotency-Key must have at most {KEY_CHARS_MAX} characters")
            key = value.decode("latin-1")
    run_id = found.get(b"x-run-id") or found.get(b"x-workflow-id")
    session_id = found.get(b"x-session-id")
    return Workflow(
        run_id=run_id,
        # The SDK fills an empty one with the run's id; that is no session.
        session_id=None if session_id == run_id else session_id,
        actor_id=found.get(b"x-actor-id"),
        parent_execution_id=found.get(b"x-parent-execution-id") or found.get(b"x-execution-id"),
        idempotency_key=key,
    )


def execution_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The execution that a request is about, where that is not the caller of another one.

    Raises:
        BadRequest: it is no id.
    """
    for name, value in headers:
        if name == b"x-execution-id" and value:
            if _ID.fullmatch(value) is None:
                raise BadRequest(f"X-Execution-ID must match {ID_PATTERN}")
            return value.decode()
    return None


HEADERS = {
    "X-Run-ID": "The run it belongs to; a new one without.",
    "X-Session-ID": "The session it belongs to.",
    "X-Actor-ID": "On whose behalf it runs.",
    "X-Parent-Execution-ID": "The execution that calls; `X-Execution-ID` means the same.",
    "Idempotency-Key": "Sent again with the same key and body, it is the same execution.",
}
"""For the document of the API."""
