"""What `af journal` prints: tables and pictures for people, one JSON document for scripts."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from agentfield_journal import JournalCorrupt
from agentfield_journal.envelope import Envelope
from agentfield_journal.tools import Stats, measure
from agentfield_rt.cli.failures import Failure
from agentfield_rt.cli.journal_reading import find_run, read_texts, reading
from agentfield_rt.cli.journal_rows import payload_of, rows
from agentfield_rt.cli.printing import counting, interruptible, literal, stdout, write_result
from agentfield_rt.timeline import read_timeline, timeline_svg, timeline_text

ENDED = {"run_completed": "completed", "run_failed": "failed", "run_cancelled": "cancelled"}
"""A run's last record, and what it says."""


def print_runs(data: str, *, as_json: bool) -> None:
    """All runs, newest first."""
    runs = asyncio.run(_runs(data))
    if as_json:
        write_result({"runs": runs})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, justify in (("run", "left"), ("started", "left"), ("took", "right"), ("records", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("state")
    for run in runs:
        started = datetime.fromtimestamp(run["first_at_ms"] / 1e3, UTC).strftime("%Y-%m-%d %H:%M:%S")
        took = f"{(run['last_at_ms'] - run['first_at_ms']) / 1e3:.1f} s"
        table.add_row(literal(run["run_id"]), started, took, str(run["records"]), run["state"])
    stdout().print(table)


async def _runs(data: str) -> list[dict[str, Any]]:
    async with reading(data) as journal:
        runs: list[dict[str, Any]] = []
        for head in await journal.heads():
            last = await journal.read(head.run_id, after=head.seq - 1, limit=1)
            runs.append(
                {
                    "run_id": head.run_id,
                    "records": head.seq,
                    "first_at_ms": head.first_at_ns / 1e6,
                    "last_at_ms": head.last_at_ns / 1e6,
                    "state": ENDED.get(last[0].kind, "open"),
                    "head": head.hash.hex(),
                }
            )
        return runs


def print_records(data: str, run: str | None, *, content: bool, every: bool, as_json: bool) -> None:
    """The records of a run."""
    envelopes, texts = asyncio.run(_read(data, run, content=content))
    if as_json:
        records = [record_view(envelope, texts if content else None) for envelope in envelopes]
        write_result({"run_id": envelopes[0].run_id, "records": records})
        return
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column("seq", justify="right")
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("record", no_wrap=True)
    table.add_column("turn", no_wrap=True)
    table.add_column("details", style="dim")
    shown = 0
    for row in rows(envelopes, texts, every=every):
        shown += 1
        took = f" [dim]+{row.took_ms:.0f} ms[/dim]" if row.took_ms is not None else ""
        kind = f"{'  └ ' if row.depth else ''}{row.kind}"
        table.add_row(
            str(row.seq),
            f"{row.at_ms / 1e3:.3f} s",
            f"{coloured(kind)}{took}",
            row.turn,
            literal(row.details),
        )
    stdout().print(f"[bold]{literal(envelopes[0].run_id)}[/bold]")
    stdout().print(table)
    if hidden := len(envelopes) - shown:
        stdout().print(
            f"[dim]{hidden} provider events that went as always are left out; --all shows them[/dim]"
        )


def print_stats(data: str, *, as_json: bool) -> None:
    """What a journal holds, in figures."""
    with interruptible(), counting("Counting") as progress:
        found = asyncio.run(_measure(data, progress))
    if as_json:
        write_result(found)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("runs", f"{found.runs:,}")
    table.add_row("records", f"{found.records:,}")
    table.add_row("payload bytes", f"{found.payload_bytes:,}")
    table.add_row("open operations", f"{found.open_operations:,}", end_section=True)
    for kind, count in found.kinds.items():
        table.add_row(coloured(kind), f"{count:,}")
    stdout().print(table)


async def _measure(data: str, progress: Callable[[int], None]) -> Stats:
    async with reading(data) as journal:
        return await measure(journal, progress=progress)


def print_timeline(data: str, run: str | None, *, content: bool, svg: Path | None, as_json: bool) -> None:
    """A run as a picture: in the terminal, or in a file."""
    envelopes, texts = asyncio.run(_read(data, run, content=content))
    if svg is not None:
        try:
            svg.write_text(timeline_svg(envelopes, texts=texts), encoding="utf-8")
        except OSError as error:
            raise Failure(f"cannot write {svg}: {error.strerror}") from error
    if as_json:
        write_result(read_timeline(envelopes, texts))
    elif svg is None:
        columns = stdout().width if stdout().is_terminal else 100
        stdout().print(timeline_text(envelopes, texts=texts, columns=columns), markup=False, soft_wrap=True)
    else:
        stdout().print(f"The timeline of {envelopes[0].run_id} is in {svg}", soft_wrap=True, markup=False)


async def _read(data: str, run: str | None, *, content: bool) -> tuple[list[Envelope], dict[str, str]]:
    async with reading(data) as journal:
        run_id = await find_run(journal, run)
        envelopes = await journal.read(run_id)
    if not envelopes:
        raise JournalCorrupt(f"run {run_id} is listed and has no records", run_id=run_id, seq=1)
    return envelopes, await read_texts(data, envelopes) if content else {}


def record_view(envelope: Envelope, texts: dict[str, str] | None = None) -> dict[str, Any]:
    """A record for a script; with `texts`, what its references stand for."""
    view: dict[str, Any] = {
        "seq": envelope.seq,
        "kind": envelope.kind,
        "at_ms": envelope.at_ns / 1e6,
        "session_id": envelope.session_id,
        "turn_id": envelope.turn_id,
        "op_id": envelope.op_id,
        "data": payload_of(envelope),
        "hash": envelope.hash.hex(),
    }
    if texts is not None and envelope.content_refs:
        view["content"] = {ref: texts.get(ref) for ref in envelope.content_refs}
    return view


def coloured(kind: str) -> str:
    """A record's kind, in the colour of what it means."""
    kind = literal(kind)
    if kind.endswith(("_failed", "_unknown", "_lost", "_denied", "_dropped")):
        return f"[red]{kind}[/red]"
    if "turn_" in kind or "utterance_" in kind or "session_" in kind:
        return f"[cyan]{kind}[/cyan]"
    return kind
