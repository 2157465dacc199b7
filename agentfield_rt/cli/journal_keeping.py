"""`af journal export|import|upgrade|erase`: what leaves a journal, enters one, or is destroyed for good."""

from pathlib import Path
from typing import Annotated

import typer

from agentfield_rt.cli.connection import AsJson
from agentfield_rt.cli.journal_options import DATA, Place

keeping = typer.Typer(rich_markup_mode="rich")


@keeping.command("export")
def export_run(  # noqa: PLR0913 - what a shell gives
    run: Annotated[str, typer.Argument(metavar="RUN", help="'all' with --json-lines or --parquet")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Must not exist")],
    *,
    data: Place = DATA,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="One record a line, for analysis; proves nothing")
    ] = False,
    leaves: Annotated[
        bool,
        typer.Option(
            "--leaves", help="Add what any checkpoint can be compared with; it names the other runs"
        ),
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="One table, for analysis; needs agentfield-rt[parquet]")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a run to one file that proves itself, with the newest signed checkpoint that saw it.

    No words are in it: they are in the content store. Check it with af journal verify --data FILE; with
    --leaves it can be checked against any checkpoint (--earlier), and shows that it was not cut.

    Examples: [bold]af journal export run_20261121_0833 call.jsonl[/bold],
    [bold]af journal export all records.parquet --parquet[/bold]
    """
    from agentfield_rt.cli.journal_exchange import Shape, print_export

    if json_lines + parquet + leaves > 1:
        raise typer.BadParameter("choose one of --json-lines, --parquet and --leaves")
    proof = Shape.PROOF_WITH_LEAVES if leaves else Shape.PROOF
    shape = Shape.JSON_LINES if json_lines else Shape.PARQUET if parquet else proof
    print_export(data, run, file, shape=shape, as_json=as_json)


@keeping.command("import")
def import_run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An exported run")],
    *,
    data: Place = DATA,
    as_json: AsJson = False,
) -> None:
    """Store an exported run, checked and byte for byte, in a journal that no server has open.

    Example: [bold]af journal import call.jsonl --data archive.db[/bold]
    """
    from agentfield_rt.cli.journal_exchange import print_import

    print_import(data, file, as_json=as_json)


@keeping.command()
def upgrade(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder, file or URL; only read")],
    target: Annotated[str, typer.Argument(metavar="DST", help="File or URL of a new journal")],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy a journal into a new one of the current format, or to another kind of store, and verify it.

    Record bytes and hashes stay as they are. Exit code 1: the new journal does not verify.

    Example: [bold]af journal upgrade .agentfield postgresql://af@localhost/af[/bold]
    """
    from agentfield_rt.cli.journal_exchange import print_upgrade

    raise typer.Exit(print_upgrade(source, target, as_json=as_json))


@keeping.command()
def erase(  # noqa: PLR0913 - what a shell gives
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="A session's id, for a call's words")],
    *,
    data: Place = DATA,
    by: Annotated[str, typer.Option("--by", help="Who asks, in words that identify nobody")] = "operator",
    reason: Annotated[
        str, typer.Option("--reason", help="Why, in words that identify nobody")
    ] = "requested by the subject",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first")] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy the content of a subject and its key, for good; the journal records it and still verifies.

    No server may have the data open. After a crash, repeat it.

    Example: [bold]af journal erase sess_20261121_0833_ab12 --by "data protection"[/bold]
    """
    from agentfield_rt.cli.journal_erasure import print_erasure

    if not yes:
        typer.confirm(f"Destroy all content of {subject}? It cannot be brought back.", abort=True, err=True)
    print_erasure(data, subject, by=by, reason=reason, as_json=as_json)
