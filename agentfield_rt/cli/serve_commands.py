"""`af serve` and `af provider`: the two things that run until they are told to stop."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[str | None, typer.Option(help="Address to listen on  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one  [default: 8080]")]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the journal and its content  [default: .agentfield]")
]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON.")]


def serve(
    apps: Annotated[list[str] | None, typer.Argument(metavar="[APP]…", show_default=False)] = None,
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Serve agents with a control plane, until Ctrl-C.

    APP is module:app or file.py:app, and app may be left out.

    Examples: [bold]af serve examples/voice_support.py[/bold], [bold]af serve shop.voice:desk --port 0[/bold]
    """
    from agentfield_rt.cli.apps import load_agent
    from agentfield_rt.cli.settings import read_settings

    settings = read_settings(host=host, port=port, data=data)
    agents = [load_agent(name) for name in apps or ()]

    from agentfield_rt.cli.serving import serve_until_stopped

    serve_until_stopped(agents, settings, as_json=as_json)


def provider(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8090,
    seed: Annotated[int | None, typer.Option(help="Of all ids: the same calls get the same events")] = None,
) -> None:
    """Run the local voice provider alone, until Ctrl-C.

    It speaks the OpenAI Realtime protocol and prints one line of JSON when it listens. A plane uses it when
    AGENTFIELD_RT_LOCAL_URL names it.

    Example: [bold]af provider --port 8090 --seed 7[/bold]
    """
    from agentfield_rt.plane.provider_processes import provider_module

    arguments = [sys.executable, "-m", provider_module("local"), "--host", host, "--port", str(port)]
    if seed is not None:
        arguments += ["--seed", str(seed)]
    os.execv(sys.executable, arguments)
