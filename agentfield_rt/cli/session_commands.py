"""`af session`: AgentField's session commands, with its flags, outputs, messages and exit codes."""

from enum import StrEnum
from typing import Annotated

import typer

from agentfield_rt.cli.completing import (
    complete_session,
    complete_target,
    complete_tool,
)
from agentfield_rt.cli.connection import (
    INPUT_HELP,
    SERVER_DEFAULT,
    ApiKey,
    Connection,
    Json,
    Output,
    Server,
)
from agentfield_rt.cli.printing import Form, write_raw, write_result

session = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Start sessions and work in them, as AgentField's CLI does: af session start voice-support.voice",
)


class OfferForm(StrEnum):
    """How an SDP answer is written."""

    RAW = "raw"
    JSON = "json"
    PRETTY = "pretty"
    YAML = "yaml"


Registered = Annotated[str, typer.Option(show_default="as registered")]
SessionId = Annotated[
    str, typer.Argument(metavar="SESSION_ID", show_default=False, autocompletion=complete_session)
]


@session.command()
def start(  # noqa: PLR0913 - its options
    target: Annotated[
        str, typer.Argument(metavar="NODE.SESSION", show_default=False, autocompletion=complete_target)
    ],
    *,
    provider: Registered = "",
    transport: Registered = "",
    model: Registered = "",
    voice: Registered = "",
    output: Output = Form.JSON,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Start a session.

    Example: [bold]af session start voice-support.voice --provider local --transport webrtc[/bold]
    """
    from agentfield_rt.cli import session_requests as requests

    wishes = {"provider": provider, "transport": transport, "model": model, "voice": voice}
    answer = requests.start(Connection(server, api_key), target, wishes)
    write_result(answer, Form.JSON if as_json else output)


@session.command()
def offer(  # noqa: PLR0913 - its options
    session_id: SessionId,
    *,
    provider: Annotated[str, typer.Option(show_default=False)] = "",
    transport: Annotated[str, typer.Option(show_default=False)] = "",
    target: Annotated[str, typer.Option(show_default=False)] = "",
    sdp: Annotated[
        str | None, typer.Option(help="The offer itself, @FILE, or - for stdin", show_default=False)
    ] = None,
    output: Annotated[OfferForm, typer.Option("--output", "-o")] = OfferForm.RAW,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Exchange an SDP offer for the provider's answer, which is written as it is.

    Example: [bold]af session offer SESSION_ID --sdp @offer.sdp > answer.sdp[/bold]
    """
    from agentfield_rt.cli import session_requests as requests
    from agentfield_rt.cli.command_input import read_offer

    query = {"provider": provider, "transport": transport, "target": target}
    body = read_offer(sdp)
    answer = requests.offer(Connection(server, api_key), session_id, query, body=body)
    form = OfferForm.JSON if as_json else output
    if form is OfferForm.RAW:
        write_raw(answer)
    else:
        write_result({"answer_sdp": answer.decode(errors="replace")}, Form(form.value))


@session.command()
def tool(  # noqa: PLR0913 - its options
    session_id: SessionId,
    tool: Annotated[str, typer.Argument(metavar="TOOL", show_default=False, autocompletion=complete_tool)],
    *,
    target: Annotated[str, typer.Option(help="NODE.REASONER, when TOOL is not its name")] = "",
    given: Annotated[
        str | None,
        typer.Option("--in", help=INPUT_HELP, show_default=False),
    ] = None,
    output: Output = Form.JSON,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Run one of the session's tools; the answer names the execution to poll.

    Example: [bold]af session tool SESSION_ID lookup_order --in '{"number": 4}'[/bold]
    """
    from agentfield_rt.cli import session_requests as requests
    from agentfield_rt.cli.command_input import read_input

    body = {"target": target, "input": read_input(given)}
    answer = requests.tool(Connection(server, api_key), session_id, tool, body=body)
    write_result(answer, Form.JSON if as_json else output)


@session.command()
def workflows(
    session_id: SessionId,
    *,
    output: Output = Form.JSON,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Look up what ran in a session.

    Example: [bold]af session workflows SESSION_ID -o pretty[/bold]
    """
    from agentfield_rt.cli import session_requests as requests

    answer = requests.workflows(Connection(server, api_key), session_id)
    write_result(answer, Form.JSON if as_json else output)
