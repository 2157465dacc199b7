"""`af execute`, and `af run`: what reasoners do for one another, run from a shell and looked at as a tree."""

from typing import Annotated

import typer

from agentfield_rt.cli.completing import complete_capability, complete_run
from agentfield_rt.cli.connection import (
    INPUT_HELP,
    SERVER_DEFAULT,
    ApiKey,
    AsJson,
    Connection,
    Limit,
    Server,
)

run = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Look at workflows: af run list, af run show RUN_ID"
)


def execute(  # noqa: PLR0913 - its options
    target: Annotated[
        str,
        typer.Argument(metavar="NODE.REASONER", show_default=False, autocompletion=complete_capability),
    ],
    *,
    given: Annotated[
        str | None,
        typer.Option("--in", help=INPUT_HELP, show_default=False),
    ] = None,
    run_id: Annotated[str, typer.Option("--run", help="In this run", show_default=False)] = "",
    session_id: Annotated[str, typer.Option("--session", help="For this session", show_default=False)] = "",
    idempotency_key: Annotated[
        str, typer.Option(help="Submitted again with the same key, it is not run again", show_default=False)
    ] = "",
    wait: Annotated[bool, typer.Option(help="Wait for the result and print it")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole status, not the result alone.")
    ] = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Run a reasoner or a skill and print its result, as JSON. Ctrl-C stops waiting; it goes on.

    Example: [bold]af execute voice-support.lookup_order --in '{"number": 8}'[/bold]
    """
    from agentfield_rt.cli.command_input import read_input
    from agentfield_rt.cli.execution_requests import Submission, execute_and_print

    submission = Submission(
        target=target,
        arguments=read_input(given),
        headers={"X-Run-ID": run_id, "X-Session-ID": session_id, "Idempotency-Key": idempotency_key},
    )
    execute_and_print(Connection(server, api_key), submission, wait=wait, as_json=as_json)


@run.command("list")
def list_(
    *, limit: Limit = 20, as_json: AsJson = False, server: Server = SERVER_DEFAULT, api_key: ApiKey = ""
) -> None:
    """List workflows, the newest first.

    Example: [bold]af run list[/bold]
    """
    from agentfield_rt.cli.workflow_tree import print_workflows

    print_workflows(Connection(server, api_key), limit=limit, as_json=as_json)


@run.command()
def show(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN_ID|SESSION_ID", show_default=False, autocompletion=complete_run)
    ],
    *,
    as_json: AsJson = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Show a workflow as a tree: who called whom, what came of it, and how long it took.

    Example: [bold]af run show RUN_ID[/bold]
    """
    from agentfield_rt.cli.workflow_tree import print_workflow

    print_workflow(Connection(server, api_key), run_id, as_json=as_json)
