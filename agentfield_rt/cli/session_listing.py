"""Sessions as `af session list` and `show` print them."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from rich.table import Table

from agentfield_rt.cli.connection import Connection, segment
from agentfield_rt.cli.printing import (
    at_second,
    listing,
    literal,
    print_listing,
    stderr,
    stdout,
    write_result,
)
from agentfield_rt.cli.session_requests import SESSIONS


def list_sessions(connection: Connection, filters: Mapping[str, str | int], *, as_json: bool) -> None:
    """A table of sessions, the newest first."""
    query = urlencode({name: value for name, value in filters.items() if value != ""})
    found = connection.ask(
        lambda plane: plane.get_json("session list", f"{SESSIONS}?{query}", holding="sessions")
    )
    if as_json:
        write_result(found)
        return
    columns = ("session", "target", "provider", "started", "status", "close reason")
    table = listing(*columns)
    for session in found["sessions"]:
        pair = f"{session['provider']}/{session['transport']}"
        status = "[green]live[/green]" if session["status"] == "live" else "ended"
        started = at_second(session["started_at"])
        cells = (literal(session["session_id"]), literal(session["target"]), literal(pair), started, status)
        table.add_row(*cells, literal(session["close_reason"] or ""))
    print_listing(table)
    if (left := found["total"] - found["offset"] - len(found["sessions"])) > 0:
        stderr().print(f"[dim]{left} more; --limit and --offset show them[/dim]")


def show_session(connection: Connection, session_id: str, *, as_json: bool) -> None:
    """Everything that is known of a session."""
    path = f"{SESSIONS}/{segment(session_id)}"
    found = connection.ask(lambda plane: plane.get_json("session show", path, holding="session_id"))
    if as_json:
        write_result(found)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in found.items():
        if value not in (None, "", [], {}):
            table.add_row(name.replace("_", " "), literal(_one_line(value)))
    stdout().print(table)


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        members = cast(dict[str, Any], value)
        return ", ".join(f"{name}={inner}" for name, inner in members.items())
    if isinstance(value, list):
        return ", ".join(map(_one_line, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)
