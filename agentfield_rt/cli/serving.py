"""Runs a control plane in the foreground: what is said before, while and after it serves."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from agentfield_rt import Agent
from agentfield_rt.cli.printing import stderr, stdout, write_result
from agentfield_rt.config import Settings
from agentfield_rt.logs import configure_logs
from agentfield_rt.plane.data_directory import journal_path
from agentfield_rt.plane.operation.draining import Waiting
from agentfield_rt.plane.server import serve_async


def serve_until_stopped(
    agents: Sequence[Agent],
    settings: Settings,
    *,
    as_json: bool,
    hint: str = "to see what it serves. Ctrl-C ends it.",
) -> None:
    """Serve in the foreground, print the address once, and at the end where the journal is.

    Raises:
        RealtimeError: the port is taken, the data is in use, or a provider does not start.
    """
    journal = journal_path(settings.data)
    status = stderr().status("Starting the control plane and the voice provider …")

    def say_ready(url: str) -> None:
        status.stop()
        if as_json:
            write_result({"url": url, "journal": str(journal)})
        else:
            stdout().print(f"Open [bold link={url}]{url}[/] {escape(hint)}", soft_wrap=True)

    def say_waiting(waiting: Waiting) -> None:
        stderr().print(f"af: {waiting}. Ctrl-C ends them at once.", soft_wrap=True)

    configure_logs(settings)
    with status:
        asyncio.run(serve_async(agents, settings, on_ready=say_ready, on_waiting=say_waiting))
    if not as_json:
        stdout().print(farewell(settings.data), soft_wrap=True)


def farewell(data: Path) -> str:
    """Where the journal is and how to look at it."""
    option = "" if data == Path(".agentfield") else f" --data {data}"
    return escape(
        f"The journal is {journal_path(data)}\nLook at it with: af journal list{option}, "
        f"af journal show{option}, af journal timeline{option}"
    )
