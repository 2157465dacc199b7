"""`af` itself: its commands, its version, and the one place where errors become a line and an exit code.

Command modules stay light: what a command needs is imported when it runs, so that help is quick.
"""

import inspect
import os
import sys
from typing import Annotated, Protocol

import typer
from typer.main import get_command

from agentfield_rt import __version__
from agentfield_rt.cli import (
    demo_command,
    execution_commands,
    journal_commands,
    node_commands,
    provider_command,
    serve_commands,
    session_commands,
    session_own_commands,
    settings_command,
)
from agentfield_rt.cli.connection import API_KEY_VARIABLE, SERVER_VARIABLE
from agentfield_rt.cli.failures import ExitCode, as_failure
from agentfield_rt.cli.printing import complain

TRACEBACK_VARIABLE = "AGENTFIELD_RT_TRACEBACK"

program = typer.Typer(
    name="af",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done, 1 a journal that does not verify, 2 your input or HTTP 4xx, "
        "3 the server (401, 403, 5xx, no connection)."
    ),
)
program.command("demo")(demo_command.demo)
program.command("serve")(serve_commands.serve)
program.command("settings")(settings_command.settings)
program.command("execute")(execution_commands.execute)
program.add_typer(provider_command.commands)
session_commands.session.add_typer(session_own_commands.own)
program.add_typer(session_commands.session, name="session")
program.add_typer(execution_commands.run, name="run")
program.add_typer(node_commands.node, name="node")
program.add_typer(journal_commands.journal, name="journal")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"af {__version__}")
        raise typer.Exit


@program.callback()
def af(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)
    ] = False,
    server: Annotated[
        str | None, typer.Option(help="For every command that asks a control plane", show_default=False)
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="As --server", show_default=False)] = None,
) -> None:
    """Realtime voice sessions with a journal.

    Start with [bold]af demo[/bold]: a voice call on this machine, without a key or an account.
    """
    # AgentField's are global, and may stand before the command; the command's own win.
    for variable, given in ((SERVER_VARIABLE, server), (API_KEY_VARIABLE, api_key)):
        if given is not None:
            os.environ[variable] = given


def run() -> int:
    """Run the command line of this process and return its exit code."""
    try:
        command = get_command(program)
        _flow(command)
        command()
    except SystemExit as end:
        return _code_of(end)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _pipe_closed()
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        failure = as_failure(error)
        if failure is None:
            complain(f"internal error: {type(error).__name__} (set {TRACEBACK_VARIABLE}=1 to see where)")
            return ExitCode.SERVER
        complain(str(failure))
        return failure.exit_code
    return ExitCode.OK


class _Helped(Protocol):
    """A command as typer makes it; its classes are its own business."""

    help: str | None


def _flow(command: _Helped) -> None:
    """Have each paragraph of a help text fill the terminal's lines: typer keeps those of the source."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
    below: dict[str, _Helped] = getattr(command, "commands", {})
    for each in below.values():
        _flow(each)


def _code_of(end: SystemExit) -> int:
    if isinstance(end.__context__, BrokenPipeError):  # typer and rich say 1: a journal that is unsound
        return _pipe_closed()
    return end.code if isinstance(end.code, int) else ExitCode.USER


def _pipe_closed() -> ExitCode:
    # What is still buffered goes nowhere: Python would complain about it at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.PIPE_CLOSED
