"""`af journal`: look at a journal, also beside the server that writes it. Writes nothing."""

from pathlib import Path
from typing import Annotated

import typer

from agentfield_rt.cli import journal_keeping
from agentfield_rt.cli.connection import AsJson
from agentfield_rt.cli.journal_options import DATA, Content, Place, Run

journal = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Look at a journal, also beside the server that writes it, and keep it. RUN may be a run, a "
    "session, or the beginning of one; left out it is the newest run.",
)


@journal.command("list")
def list_runs(*, data: Place = DATA, as_json: AsJson = False) -> None:
    """List the runs, newest first.

    Example: [bold]af journal list --data .agentfield[/bold]
    """
    from agentfield_rt.cli.journal_output import print_runs

    print_runs(data, as_json=as_json)


@journal.command()
def show(
    run: Run = None,
    *,
    data: Place = DATA,
    content: Content = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also the provider events that went as always")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the records of a run: times from its beginning, each outcome under its intent.

    Example: [bold]af journal show run_20261121_0833 --content[/bold]
    """
    from agentfield_rt.cli.journal_output import print_records

    print_records(data, run, content=content, every=every, as_json=as_json)


@journal.command()
def tail(
    run: Run = None,
    *,
    data: Place = DATA,
    every_run: Annotated[
        bool, typer.Option("--all", help="Every run, those that begin later too, from now on")
    ] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="Begin this many records earlier")] = 10,
    as_json: AsJson = False,
) -> None:
    """Follow a run while it is written, to its last record; or all runs, until Ctrl-C.

    In JSON: one record a line.

    Example: [bold]af journal tail --all --json[/bold]
    """
    from agentfield_rt.cli.journal_tail import follow_all, follow_run

    if every_run:
        follow_all(data, as_json=as_json)
    else:
        follow_run(data, run, last=last, as_json=as_json)


@journal.command()
def verify(
    run: Run = None,
    *,
    data: Place = DATA,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="A trusted verifier key, or a file of them", show_default=False),
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(
            "--earlier", metavar="FILE", help="Checkpoints kept in a second place", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every record's place, hash and identity, and the signed checkpoints: of one run, or of all.

    --data may also name an exported run, or a folder of journals and exported runs. Checkpoints and the key
    that lie beside the journal are used when none are given; only such from elsewhere show that a journal
    was cut and signed anew.

    Exit code 0: all of it is what was written. 1: it is not, and the first bad record of each run is named.
    3: the journal could not be read. In JSON: ok, runs, records, checkpoints, findings,
    and passed_over: the files of a folder that were not verified, and why.

    Example: [bold]af journal verify --earlier /mnt/safe/checkpoints --key /mnt/safe/journal.pub[/bold]
    """
    from agentfield_rt.cli.journal_verification import print_verification

    raise typer.Exit(print_verification(data, run, keys=key or [], earlier=earlier, as_json=as_json))


@journal.command()
def audit(
    run: Run = None,
    *,
    data: Place = DATA,
    sentinel: Annotated[
        list[str] | None,
        typer.Option(help="Text that must not occur in any record", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every record against what the runtime promises: of one run, or of all.

    Each finding has a stable code that begins with the number of the promise. `verify` asks whether the
    records are those that were written; this asks whether they are right.

    Exit code 0: clean. 1: there are findings. 2: the journal could not be read. In JSON: ok, runs, records,
    open_operations, findings, left_out.

    Example: [bold]af journal audit run_20261121_0833 --sentinel 4111[/bold]
    """
    from agentfield_rt.cli.journal_audit import print_audit

    raise typer.Exit(print_audit(data, run, sentinels=sentinel or [], as_json=as_json))


@journal.command()
def stats(*, data: Place = DATA, as_json: AsJson = False) -> None:
    """Count runs, records by kind, bytes, and operations without an outcome.

    Example: [bold]af journal stats --data postgresql://af@localhost/af[/bold]
    """
    from agentfield_rt.cli.journal_output import print_stats

    print_stats(data, as_json=as_json)


@journal.command()
def timeline(
    run: Run = None,
    *,
    data: Place = DATA,
    content: Content = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an SVG picture", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a run: who spoke when, what ran, where somebody was cut off.

    Example: [bold]af journal timeline --svg call.svg --content[/bold]
    """
    from agentfield_rt.cli.journal_output import print_timeline

    print_timeline(data, run, content=content, svg=svg, as_json=as_json)


journal.add_typer(journal_keeping.keeping)
