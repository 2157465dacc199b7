"""`af journal audit`: does what the journal tells keep the runtime's promises?"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from agentfield_journal import JournalError
from agentfield_rt.audit import Report, audit_journal
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.journal_reading import find_run, reading
from agentfield_rt.cli.printing import counting, interruptible, literal, stdout, write_result


def print_audit(place: str, run: str | None, *, sentinels: Sequence[str], as_json: bool) -> ExitCode:
    """Audit one run of a journal, or all; whatever cannot be read is the caller's to know (exit code 2)."""
    try:
        with interruptible(), counting("Auditing") as progress:
            report = asyncio.run(_audit(place, run, [text.encode() for text in sentinels], progress))
    except (Failure, JournalError, OSError) as error:
        raise Failure(str(error), ExitCode.USER) from error
    if as_json:
        write_result({"ok": report.clean, **msgspec.to_builtins(report)})
    else:
        _print_findings(report)
    return ExitCode.OK if report.clean else ExitCode.UNSOUND


async def _audit(
    place: str, run: str | None, sentinels: Sequence[bytes], progress: Callable[[int], None]
) -> Report:
    async with reading(place) as journal:
        run_ids = None if run is None else [await find_run(journal, run)]
        return await audit_journal(journal, run_ids=run_ids, sentinels=sentinels, progress=progress)


def _print_findings(report: Report) -> None:
    counted = f"{report.records} records in {report.runs} {'run' if report.runs == 1 else 'runs'}"
    for finding in report.findings:
        of = f" [dim]{literal(finding.op_id)}[/dim]" if finding.op_id else ""
        where = f"{literal(finding.run_id)} record {finding.seq}{of}"
        stdout().print(
            f"[red]✗[/red] {finding.code.value} {where}: {literal(finding.problem)}", soft_wrap=True
        )
    if report.left_out:
        stdout().print(f"and {report.left_out} more findings")
    if report.clean:
        stdout().print(f"[green]✓[/green] {counted}, and every promise kept")
    else:
        stdout().print(f"{len(report.findings) + report.left_out} findings in {counted}")
    if report.open_operations:
        stdout().print(
            f"[dim]{report.open_operations} operations are open, in runs that have not ended[/dim]"
        )
