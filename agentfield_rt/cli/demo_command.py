"""`af demo`: plane, example agent and voice provider in one go; a caller for machines without a browser."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentfield_rt.cli.connection import AsJson
from agentfield_rt.cli.serve_commands import Data, Host, Port


class DemoProvider(StrEnum):
    """Who listens and speaks in the demo."""

    LOCAL = "local"
    OPENAI = "openai"


def demo(  # noqa: PLR0913 - its options
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    provider: Annotated[
        DemoProvider, typer.Option(help="openai is the real service; it needs OPENAI_API_KEY")
    ] = DemoProvider.LOCAL,
    call: Annotated[
        Path | None, typer.Option(metavar="CALLER.wav", help="Call the agent with this recording")
    ] = None,
    reply: Annotated[
        Path | None, typer.Option(metavar="REPLY.wav", help="Where to write what the caller heard")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a voice call on this machine: an order desk, its page, and everything behind it.

    Open the address it prints and press the call button.

    With --call no browser is needed: a synthetic caller speaks the recording over WebRTC and stays until the
    last answer is over. In JSON a turn has heard, understood, said and reply_ms: the time from the caller's
    last word to the first sound of the answer, both read off the caller's own recording.

    Examples: [bold]af demo[/bold], [bold]af demo --call where.wav --reply answer.wav --json[/bold]
    """
    from agentfield_rt.cli.demo.example import order_desk
    from agentfield_rt.cli.failures import Failure
    from agentfield_rt.cli.settings import read_settings

    if reply is not None and call is None:
        raise Failure("--reply writes what a caller heard: it needs --call CALLER.wav")
    settings = read_settings(host=host, port=port, data=data)
    if provider is DemoProvider.OPENAI and settings.openai_api_key is None:
        raise Failure("--provider openai calls the real service: set OPENAI_API_KEY first")
    agent = order_desk(provider.value)
    if call is None:
        from agentfield_rt.cli.serving import serve_until_stopped

        hint = "and press the call button; ask, for example: where is order eight. Ctrl-C ends the demo."
        serve_until_stopped([agent], settings, as_json=as_json, hint=hint)
        return

    from agentfield_rt.cli.demo.scene import call_and_report

    if port is None:
        settings = settings.model_copy(update={"port": 0})  # nobody has to find this address
    call_and_report(agent, settings, call=call, reply=reply, as_json=as_json)
