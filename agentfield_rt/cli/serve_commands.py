"""`af serve`: runs until it is told to stop."""

from pathlib import Path
from typing import Annotated

import typer

from agentfield_rt.cli.connection import AsJson

Host = Annotated[str | None, typer.Option(help="Address to listen on", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one", show_default="8080")]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the journal and its content", show_default=".agentfield")
]
Config = Annotated[
    Path | None,
    typer.Option(help="A TOML file of settings; what the environment or an option says wins over it."),
]


def serve(  # noqa: PLR0913 - its options
    apps: Annotated[list[str] | None, typer.Argument(metavar="APP", show_default=False)] = None,
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Serve agents with a control plane, until Ctrl-C.

    APP is module:app or file.py:app, and app may be left out.

    Examples: [bold]af serve examples/voice_support.py[/bold], [bold]af serve shop.voice:desk --port 0[/bold]
    """
    from agentfield_rt.cli.apps import load_agent
    from agentfield_rt.cli.settings import read_settings

    settings = read_settings(host=host, port=port, data=data, config=config)
    agents = [load_agent(name) for name in apps or ()]

    from agentfield_rt.cli.serving import serve_until_stopped

    serve_until_stopped(agents, settings, as_json=as_json)
