"""`af node`: the agents that a control plane knows."""

from enum import StrEnum
from typing import Annotated

import typer

from agentfield_rt.cli.connection import SERVER_DEFAULT, ApiKey, AsJson, Connection, Server

node = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Look at agents: af node list")


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
    """List the agents that are known, what they offer, and whether they are there.

    Example: [bold]af node list[/bold]
    """
    from urllib.parse import urlencode

    from agentfield_rt.cli.printing import write_result

    query = f"?{urlencode({'health_status': health})}" if health is not None else ""
    found = Connection(server, api_key).ask(
        lambda plane: plane.get_json("node list", f"/api/v1/nodes{query}", holding="nodes")
    )
    if as_json:
        write_result(found)
        return

    from agentfield_rt.cli.printing import listing, literal, print_listing

    columns = ("node", "version", "health", "runs", "reasoners", "skills", "sessions")
    table = listing(*columns)
    for each in found["nodes"]:
        names = (
            literal(", ".join(part["id"] for part in each["reasoners"])),
            literal(", ".join(part["id"] for part in each["skills"])),
            literal(", ".join(part["name"] for part in each["sessions"])),
        )
        health_shown = literal(each["health_status"] or "")
        colour = "green" if health_shown == "active" else "yellow"
        place = literal(each["base_url"] or each["deployment_type"].replace("_", " "))
        cells = (literal(each["id"]), literal(each["version"]), f"[{colour}]{health_shown}[/{colour}]", place)
        table.add_row(*cells, *names)
    print_listing(table)
