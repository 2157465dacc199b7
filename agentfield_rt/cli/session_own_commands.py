"""The commands of `af session` that AgentField lacks: sessions looked at, followed, ended; approvals."""

from enum import StrEnum
from typing import Annotated

import typer

from agentfield_rt.cli.completing import complete_approval, complete_session
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

own = typer.Typer()

Every = Annotated[bool, typer.Option("--all", help="Also provider events that came as always, and sound")]
ApprovalId = Annotated[
    str, typer.Argument(metavar="APPROVAL_ID", show_default=False, autocompletion=complete_approval)
]
DecidedBy = Annotated[str, typer.Option("--by", help="Who decides; kept as content", show_default=False)]


class Standing(StrEnum):
    """Which sessions are listed."""

    LIVE = "live"
    ENDED = "ended"


class WhyClosed(StrEnum):
    """What the journal is to say of the end."""

    NORMAL = "normal"
    CANCEL = "cancel"
    CALLER_GONE = "caller_gone"


@own.command("list")
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
    from agentfield_rt.cli.session_listing import list_sessions

    filters = {"status": status or "", "target": target, "limit": limit, "offset": offset}
    list_sessions(Connection(server, api_key), filters, as_json=as_json)


@own.command()
def show(
    session_id: SessionId, *, as_json: AsJson = False, server: Server = SERVER_DEFAULT, api_key: ApiKey = ""
) -> None:
    """Show what a session is and where it stands, also long after its end.

    Example: [bold]af session show SESSION_ID[/bold]
    """
    from agentfield_rt.cli.session_listing import show_session

    show_session(Connection(server, api_key), session_id, as_json=as_json)


@own.command()
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
    from agentfield_rt.cli.session_following import watch_session

    watch_session(Connection(server, api_key), session_id, every=every, as_json=as_json)


@own.command()
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
    from agentfield_rt.cli.session_following import replay_session

    replay_session(Connection(server, api_key), session_id, speed=speed, every=every, as_json=as_json)


@own.command()
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
    from agentfield_rt.cli import session_requests as requests

    answer = requests.close(Connection(server, api_key), session_id, reason=reason)
    write_result(answer, Form.JSON if as_json else output)


@own.command()
def recording(
    session_id: SessionId,
    *,
    to: Annotated[str, typer.Option(help="Write it to this file; - for stdout")] = "-",
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Fetch a call's recording: Opus in Ogg, the caller on the left, the agent on the right.

    Example: [bold]af session recording SESSION_ID --to call.ogg[/bold]
    """
    from agentfield_rt.cli import session_requests as requests

    requests.recording(Connection(server, api_key), session_id, to=to)


@own.command()
def approvals(
    session_id: Annotated[
        str, typer.Argument(metavar="SESSION_ID", show_default=False, autocompletion=complete_session)
    ] = "",
    *,
    output: Output = Form.JSON,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """List what waits for somebody's approval, in one session or in all of them.

    Example: [bold]af session approvals -o pretty[/bold]
    """
    from agentfield_rt.cli import session_requests as requests

    answer = requests.approvals(Connection(server, api_key), session_id)
    write_result(answer, Form.JSON if as_json else output)


@own.command()
def approve(  # noqa: PLR0913 - its options
    approval_id: ApprovalId,
    *,
    for_session: Annotated[bool, typer.Option(help="Later calls of the same target, too")] = False,
    decided_by: DecidedBy = "",
    output: Output = Form.JSON,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Let it happen.

    Example: [bold]af session approve APPROVAL_ID --by alice[/bold]
    """
    from agentfield_rt.cli import session_requests as requests

    decision = "approved_for_session" if for_session else "approved"
    answer = requests.decide(Connection(server, api_key), approval_id, decision, by=decided_by)
    write_result(answer, Form.JSON if as_json else output)


@own.command()
def deny(  # noqa: PLR0913 - its options
    approval_id: ApprovalId,
    *,
    decided_by: DecidedBy = "",
    output: Output = Form.JSON,
    as_json: Json = False,
    server: Server = SERVER_DEFAULT,
    api_key: ApiKey = "",
) -> None:
    """Keep it from happening.

    Example: [bold]af session deny APPROVAL_ID --by alice[/bold]
    """
    from agentfield_rt.cli import session_requests as requests

    answer = requests.decide(Connection(server, api_key), approval_id, "denied", by=decided_by)
    write_result(answer, Form.JSON if as_json else output)
