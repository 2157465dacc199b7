"""`af settings`: what a server would be started with, and where each value is from."""

from pathlib import Path
from typing import Any, cast

from agentfield_rt.cli.connection import AsJson
from agentfield_rt.cli.serve_commands import Config


def settings(
    *,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting a server would have here, and where it is from. Secrets are not shown.

    Examples: [bold]af settings[/bold], [bold]af settings --config /etc/agentfield-rt.toml --json[/bold]
    """
    from agentfield_rt.cli.printing import write_result
    from agentfield_rt.cli.settings import read_settings
    from agentfield_rt.config import Settings, origins, variable_of

    found = read_settings(config=config)
    places = origins(Settings, {} if config is None else {"config": config})
    rows = [
        {
            "name": name,
            "value": _shown(getattr(found, name)),
            "origin": places[name],
            "variable": variable_of(name, field),
            "meaning": " ".join((field.description or "").split()),
        }
        for name, field in sorted(Settings.model_fields.items())
    ]
    if as_json:
        write_result({"settings": rows})
    else:
        _print(rows)


def _shown(value: Any) -> Any:
    from pydantic import SecretStr

    match value:
        case SecretStr():
            return "********"
        case dict():
            return {name: _shown(inner) for name, inner in cast(dict[str, Any], value).items()}
        case Path():
            return str(value)
        case _:
            return value


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from agentfield_rt.cli.printing import literal, stdout

    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for row in rows:
        value = "" if row["value"] is None else str(row["value"])
        origin = "" if row["origin"] == "default" else str(row["origin"])
        table.add_row(row["name"], literal(value), literal(origin))
    stdout().print(table)
