"""`af node`: the agents that a control plane knows."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentfield_rt.cli.completing import complete_node
from agentfield_rt.cli.connection import SERVER_DEFAULT, ApiKey, AsJson, Connection, Server, segment

if TYPE_CHECKING:
    from rich.table import Table

node = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Look at agents, and let them in: af node list"
)

NodeId = Annotated[str, typer.Argument(metavar="NODE", show_default=False, autocompletion=complete_node)]
DecidedBy = Annotated[str, typer.Option("--by", help="Who decides; kept as content", show_default=False)]


class Health(StrEnum):
    """Which nodes are listed; the control plane's words."""

    ACTIVE = "active"
    STARTING = "starting"
    DEGRADED = "degraded"
    INACTIVE = "inactive"
    OFFLINE = "offline"


@node.command("list")
def list_(
    *,
    health: Annotated[Health | None, typer.Option(help="Only these", show_default=False)] = None,
    as_json: AsJson = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """List the agents that are known, what they offer, and whether they are there or have yet to be let in.

    Example: [bold]af node list[/bold]
    """
    from urllib.parse import urlencode

    from agentfield_rt.cli.printing import listing, print_listing, write_result

    query = f"?{urlencode({'health_status': health})}" if health is not None else ""
    found = Connection(server, api_key).ask(
        lambda plane: plane.get_json("node list", f"/api/v1/nodes{query}", holding="nodes")
    )
    denied: list[str] = found.get("denied", []) if health is None else []
    if as_json:
        write_result(found)
    else:
        table = listing("node", "version", "health", "runs", "reasoners", "skills", "sessions")
        for each in found["nodes"]:
            _add_row(table, each)
        for node_id in denied:
            _add_denied(table, node_id)
        print_listing(table)
    _say_what_to_do([each["id"] for each in found["nodes"] if _is_pending(each)], denied)


@node.command()
def approve(
    node_id: NodeId, *, decided_by: DecidedBy = "", server: Server = SERVER_DEFAULT, api_key: ApiKey = ""
) -> None:
    """Let an agent in that awaits approval, or that was denied.

    Example: [bold]af node approve NODE --by alice[/bold]
    """
    _decide(Connection(server, api_key), node_id, "approved", by=decided_by)


@node.command()
def deny(
    node_id: NodeId, *, decided_by: DecidedBy = "", server: Server = SERVER_DEFAULT, api_key: ApiKey = ""
) -> None:
    """Keep an agent out: it is given no work, and cannot register until it is approved.

    Example: [bold]af node deny NODE --by alice[/bold]
    """
    _decide(Connection(server, api_key), node_id, "denied", by=decided_by)


def _decide(connection: Connection, node_id: str, decision: str, *, by: str) -> None:
    from agentfield_rt.cli.printing import write_result

    what = "node deny" if decision == "denied" else "node approve"
    path, body = (
        f"/api/v1/nodes/{segment(node_id)}/decision",
        {"decision": decision, "decided_by": by or None},
    )
    write_result(connection.ask(lambda plane: plane.post_json(what, path, body)))


def _is_pending(shown: dict[str, Any]) -> bool:
    """Its health, in AgentField's words, would be `inactive`, as if it were gone."""
    return bool(shown.get("lifecycle_status") == "pending_approval")


def _add_row(table: "Table", shown: dict[str, Any]) -> None:
    from agentfield_rt.cli.printing import literal

    health = "awaits approval" if _is_pending(shown) else literal(shown["health_status"] or "")
    colour = "green" if health == "active" else "yellow"
    place = shown["base_url"] or shown["deployment_type"].replace("_", " ")
    offers = (
        ", ".join(part["id"] for part in shown["reasoners"]),
        ", ".join(part["id"] for part in shown["skills"]),
        ", ".join(part["name"] for part in shown["sessions"]),
    )
    cells = (
        literal(shown["id"]),
        literal(shown["version"]),
        f"[{colour}]{health}[/{colour}]",
        literal(place),
    )
    table.add_row(*cells, *map(literal, offers))


def _add_denied(table: "Table", node_id: str) -> None:
    from agentfield_rt.cli.printing import literal

    table.add_row(literal(node_id), "", "[red]denied[/red]")


def _say_what_to_do(pending: list[str], denied: list[str]) -> None:
    """On stderr: what is on stdout may be for a script."""
    from agentfield_rt.cli.printing import literal, stderr

    for node_id in pending:
        name = literal(node_id)
        stderr().print(f"{name} gets no work yet: af node approve {name}, or af node deny {name}")
    for node_id in denied:
        name = literal(node_id)
        stderr().print(f"{name} was denied and is kept out: af node approve {name} lets it in")
