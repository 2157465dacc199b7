"""`af provider`: the local voice provider alone, whole or broken on command."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command()
def provider(  # noqa: PLR0913 - its options
    *,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8090,
    seed: Annotated[int | None, typer.Option(help="Of all ids: the same calls get the same events")] = None,
    scenario: Annotated[
        list[Path] | None,
        typer.Option(help="YAML: what it understands, says and breaks; the first is every call's"),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="What breaks: KNOB[=VALUE][_at=N][,OPTION=VALUE]", metavar="FAULT"),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Write what comes and goes there, as JSON lines")] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="Faults, scenarios and the log over HTTP, from this machine alone")
    ] = False,
) -> None:
    """Run the local voice provider alone, until Ctrl-C.

    It speaks the OpenAI Realtime protocol and prints one line of JSON when it listens.
    A plane uses it when AGENTFIELD_RT_LOCAL_URL names it.

    It breaks on command: [bold]--fault drop_at=7[/bold] resets the connection in place of its 7th event.
    Knobs: refuse, status, hang, half_open, drop, close, expire, skip, duplicate, reorder, delay,
    malformed, oversized, unknown_event, error, truncated_audio, wrong_call_id, swallow.
    Options of all: at, type, after, where, times (0: always), chance.
    More in docs/how-to/use-the-local-provider.md.

    Examples: [bold]af provider --port 8090 --seed 7[/bold],
    [bold]af provider --scenario desk.yaml --fault drop_at=7 --seed 1 --log calls.jsonl[/bold]
    """
    from agentfield_rt.plane.provider_processes import provider_module

    arguments = [sys.executable, "-m", provider_module("local"), "--host", host, "--port", str(port)]
    if seed is not None:
        arguments += ["--seed", str(seed)]
    for path in scenario or ():
        arguments += ["--scenario", str(path)]
    for text in fault or ():
        arguments += ["--fault", text]
    if log is not None:
        arguments += ["--log", str(log)]
    if admin:
        arguments.append("--admin")
    os.execv(sys.executable, arguments)
