"""`af journal`: look at a journal, also beside the server that writes it. Writes nothing."""

from pathlib import Path
from typing import Annotated

import typer

from agentfield_rt.cli.serve_commands import Json

journal = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Look at a journal, also beside the server that writes it. RUN may be a run, a session, or the "
    "beginning of one; left out it is the newest run.",
)

Place = Annotated[
    Path, typer.Option("--data", envvar="AGENTFIELD_RT_DATA", help="A data folder, or a journal file")
]
Run = Annotated[str | None, typer.Argument(metavar="[RUN]", show_default=False)]
Content = Annotated[bool, typer.Option("--content", help="Show what was said, from the content store")]

_DATA = Path(".agentfield")


@journal.command("list")
def list_runs(*, data: Place = _DATA, as_json: Json = False) -> None:
    """List the runs, newest first.

    Example: [bold]af journal list --data .agentfield[/bold]
    """
    from agentfield_rt.cli.journal_output import print_runs

    print_runs(data, as_json=as_json)


@journal.command()
def show(
    run: Run = None,
    *,
    data: Place = _DATA,
    content: Content = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also the provider events that went as always")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the records of a run: times from its beginning, each outcome under its intent.

    Example: [bold]af journal show run_20261121_0833 --content[/bold]
    """
    from agentfield_rt.cli.journal_output import print_records

    print_records(data, run, content=content, every=every, as_json=as_json)


@journal.command()
def verify(run: Run = None, *, data: Place = _DATA, as_json: Json = False) -> None:
    """Check every record's place, hash and identity: of one run, or of all.

    Exit code 0: all of it is what was written. 1: it is not, and the first bad record of each run is named.
    3: the journal could not be read. In JSON: ok, runs, records, findings.

    Example: [bold]af journal verify || echo tampered with[/bold]
    """
    from agentfield_rt.cli.journal_output import print_verification

    raise typer.Exit(print_verification(data, run, as_json=as_json))


@journal.command()
def timeline(
    run: Run = None,
    *,
    data: Place = _DATA,
    content: Content = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an SVG picture", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a run: who spoke when, what ran, where somebody was cut off.

    Example: [bold]af journal timeline --svg call.svg --content[/bold]
    """
    from agentfield_rt.cli.journal_output import print_timeline

    print_timeline(data, run, content=content, svg=svg, as_json=as_json)
