"""What the shell offers after a tab, from a control plane or a journal: nothing if none answers at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import typer

from agentfield_journal import JournalError
from agentfield_rt.cli.connection import SERVER_DEFAULT, Connection, segment
from agentfield_rt.cli.failures import Failure
from agentfield_rt.errors import RealtimeError

if TYPE_CHECKING:
    from agentfield_rt.cli.http import PlaneClient

ANSWER_WITHIN_S = 1.0

Offer = tuple[str, str]
"""A word, and what it is; shells that can show the latter."""


def complete_target(context: typer.Context, incomplete: str) -> list[str]:
    """Sessions that can be started."""
    found = _get(context, "/api/v1/session-targets")
    return [each["target"] for each in found.get("targets", ()) if each["target"].startswith(incomplete)]


def complete_session(context: typer.Context, incomplete: str) -> list[Offer]:
    """The latest sessions."""
    found = _get(context, "/api/v1/session-instances?limit=50")
    return _beginning(
        incomplete,
        [(each["session_id"], f"{each['target']}, {each['status']}") for each in found.get("sessions", ())],
    )


def complete_tool(context: typer.Context, incomplete: str) -> list[str]:
    """The tools of the session that is named before."""
    session_id = segment(context.params.get("session_id") or "-")
    tools: list[str] = _get(context, f"/api/v1/session-instances/{session_id}").get("tools", [])
    return [tool for tool in tools if tool.startswith(incomplete)]


def complete_approval(context: typer.Context, incomplete: str) -> list[Offer]:
    """What waits for an answer."""
    found = _get(context, "/api/v1/approvals").get("approvals", ())
    return _beginning(incomplete, [(each["approval_id"], each["target"] or "") for each in found])


def complete_node(context: typer.Context, incomplete: str) -> list[str]:
    """Nodes that are known, and those that were denied."""
    found = _get(context, "/api/v1/nodes")
    names = [*(node["id"] for node in found.get("nodes", ())), *found.get("denied", ())]
    return [name for name in names if name.startswith(incomplete)]


def complete_run(context: typer.Context, incomplete: str) -> list[Offer]:
    """The latest workflows."""
    query = {"resource": "workflows", "limit": 50}
    answer = _ask(context, lambda plane: plane.post_json("completion", "/api/v1/agentic/query", query))
    rows = [
        (each["workflow_id"], f"{each['workflow_name'] or ''}, {each['status']}")
        for each in answer.get("data", {}).get("results", ())
    ]
    return _beginning(incomplete, rows)


def complete_recorded_run(context: typer.Context, incomplete: str) -> list[str]:
    """The runs of a journal on this machine, the newest first."""
    from agentfield_rt.cli.journal_reading import reading

    async def run_ids() -> list[str]:
        async with reading(context.params.get("data") or ".agentfield") as journal:
            return [head.run_id for head in await journal.heads()]

    try:
        return [run_id for run_id in asyncio.run(run_ids()) if run_id.startswith(incomplete)]
    except (Failure, RealtimeError, JournalError, OSError):
        return []


def complete_capability(context: typer.Context, incomplete: str) -> list[Offer]:
    """Reasoners and skills of all nodes."""
    return _beginning(
        incomplete,
        [
            (f"{node['id']}.{each['id']}", each["description"])
            for node in _get(context, "/api/v1/nodes").get("nodes", ())
            for each in (*node["reasoners"], *node["skills"])
        ],
    )


def _beginning(incomplete: str, offers: list[Offer]) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)]


def _get(context: typer.Context, path: str) -> Any:
    return _ask(context, lambda plane: plane.get_json("completion", path))


def _ask(context: typer.Context, request: "Callable[[PlaneClient], Awaitable[Any]]") -> Any:
    """What the server of the line, or of the environment, answers; nothing if it does not answer well."""
    server, api_key = context.params.get("server"), context.params.get("api_key")
    connection = Connection(server or SERVER_DEFAULT, api_key or "", timeout_s=ANSWER_WITHIN_S)
    try:
        return connection.ask(request)
    except Failure:
        return {}  # a shell that waits for a word has no place for an error
