"""Workflows for people: a list, and one as a tree."""

from typing import Any

from rich.tree import Tree

from agentfield_rt.cli.connection import Connection, segment
from agentfield_rt.cli.http import PlaneClient
from agentfield_rt.cli.printing import at_second, listing, literal, print_listing, stdout, write_result

_SESSION = "sess_"
_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "timeout": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "queued": "cyan",
    "waiting": "cyan",
}


def print_workflows(connection: Connection, *, limit: int, as_json: bool) -> None:
    """The newest workflows."""
    query = {"resource": "workflows", "limit": limit}
    found = connection.ask(lambda plane: plane.post_json("run list", "/api/v1/agentic/query", query))
    if as_json:
        write_result(found)
        return
    columns = ("run", "began with", "started", "took", "executions", "status")
    table = listing(*columns)
    for row in found["data"]["results"]:
        names = (literal(row["workflow_id"]), literal(row["workflow_name"] or ""))
        figures = (_took(row["total_duration_ms"]), str(row["total_executions"]))
        table.add_row(*names, at_second(row["started_at"]), *figures, _status(row["status"]))
    print_listing(table)


def print_workflow(connection: Connection, run_id: str, *, as_json: bool) -> None:
    """One workflow, or all of a session."""
    found = connection.ask(lambda plane: _workflow(plane, run_id))
    if as_json:
        write_result(found)
        return
    heading = f"[bold]{literal(found['root_workflow_id'])}[/bold] {_status(found['workflow_status'])}"
    tree = Tree(heading, guide_style="dim")
    _hang(tree, found["dag"])
    stdout().print(tree)


async def _workflow(plane: PlaneClient, run_id: str) -> Any:
    if run_id.startswith(_SESSION):
        session = await plane.get_json(
            "run show", f"/api/v1/session-instances/{segment(run_id)}", holding="run_id"
        )
        run_id = session["run_id"]
    return await plane.get_json("run show", f"/api/ui/v1/workflows/{segment(run_id)}/dag", holding="dag")


def _hang(tree: Tree, node: dict[str, Any]) -> None:
    """A node and all below it. Not by recursion: reasoners may call each other deeper than Python does."""
    waiting = [(tree, node)]
    while waiting:
        above, each = waiting.pop()
        branch = above.add(_line(each))
        waiting.extend((branch, child) for child in reversed(each["children"]))


def _line(node: dict[str, Any]) -> str:
    name = ".".join(filter(None, (node["agent_node_id"], node["reasoner_id"])))
    notes = f" [dim]{node['notes_count']} notes[/dim]" if node.get("notes_count") else ""
    took = f"[dim]{_took(node.get('duration_ms'))}[/dim]"
    return (
        f"{literal(name)} {_status(node['status'])} {took}{notes} [dim]{literal(node['execution_id'])}[/dim]"
    )


def _status(status: str) -> str:
    colour = _COLOURS.get(status, "yellow")
    return f"[{colour}]{literal(status)}[/{colour}]"


def _took(duration_ms: float | None) -> str:
    if duration_ms is None:
        return ""
    return f"{duration_ms:.0f} ms" if duration_ms < 10_000 else f"{duration_ms / 1000:.1f} s"
