"""`af session list|show|watch|replay|close`: sessions for people, live and past. AgentField lacks these."""

from enum import StrEnum
from typing import Annotated

import typer

from agentfield_rt.cli.connection import (
    SERVER_DEFAULT,
    ApiKey,
    AsJson,
    Connection,
    Json,
    Limit,
    Output,
    Server,
)
from agentfield_rt.cli.printing import Form, write_result
from agentfield_rt.cli.session_commands import SessionId

looking = typer.Typer()

Every = Annotated[bool, typer.Option("--all", help="Also provider events that came as always, and sound")]


class Standing(StrEnum):
    """Which sessions are listed."""

    LIVE = "live"
    ENDED = "ended"


class WhyClosed(StrEnum):
    """What the journal is to say of the end."""

    NORMAL = "normal"
    CANCEL = "cancel"
    CALLER_GONE = "caller_gone"


@looking.command("list")
def list_(  # noqa: PLR0913 - its options
    *,
    status: Annotated[Standing | None, typer.Option(help="Only these", show_default=False)] = None,
    target: Annotated[str, typer.Option(help="Only of NODE.SESSION", show_default=False)] = "",
    limit: Limit = 50,
    offset: Annotated[int, typer.Option(min=0, help="Leave out the newest so many")] = 0,
    as_json: AsJson = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """List sessions, the newest first, also those of earlier processes.

    Example: [bold]af session list --status live[/bold]
    """
    from agentfield_rt.cli.session_looking import list_sessions

    filters = {"status": status or "", "target": target, "limit": limit, "offset": offset}
    list_sessions(Connection(server, api_key), filters, as_json=as_json)


@looking.command()
def show(
    session_id: SessionId, *, as_json: AsJson = False, server: Server = SERVER_DEFAULT, api_key: ApiKey = ""
) -> None:
    """Show what a session is and where it stands, also long after its end.

    Example: [bold]af session show SESSION_ID[/bold]
    """
    from agentfield_rt.cli.session_looking import show_session

    show_session(Connection(server, api_key), session_id, as_json=as_json)


@looking.command()
def watch(
    session_id: SessionId,
    *,
    every: Every = False,
    as_json: AsJson = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Watch a session as it goes on, from its beginning to its end. Ctrl-C stops watching, not the session.

    Example: [bold]af session watch SESSION_ID[/bold]
    """
    from agentfield_rt.cli.session_looking import watch_session

    watch_session(Connection(server, api_key), session_id, every=every, as_json=as_json)


@looking.command()
def replay(  # noqa: PLR0913 - its options
    session_id: SessionId,
    *,
    speed: Annotated[
        float, typer.Option(min=0, help="1 takes as long as the call did; 0 is all at once")
    ] = 0,
    every: Every = False,
    as_json: AsJson = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Go through a session again, from the journal, live or past.

    Example: [bold]af session replay SESSION_ID --speed 1[/bold]
    """
    from agentfield_rt.cli.session_looking import replay_session

    replay_session(Connection(server, api_key), session_id, speed=speed, every=every, as_json=as_json)


@looking.command()
def close(  # noqa: PLR0913 - its options
    session_id: SessionId,
    *,
    reason: Annotated[WhyClosed, typer.Option(help="What the journal says of it")] = WhyClosed.NORMAL,
    output: Output = Form.JSON,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Hang up. Closing again answers the same.

    Example: [bold]af session close SESSION_ID[/bold]
    """
    from agentfield_rt.cli.session_looking import close_session

    answer = close_session(Connection(server, api_key), session_id, reason=reason)
    write_result(answer, Form.JSON if as_json else output)
