"""`af journal verify`: is what is stored what was written, and what the signed checkpoints saw?"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.markup import escape

from agentfield_journal import Report, open_journal, verify
from agentfield_journal.evidence.checkpoints import read_notes
from agentfield_journal.evidence.notes import VerifierKey
from agentfield_journal.tools import verify_path
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.journal_reading import file_at, find_run, is_url, journal_file, journal_url
from agentfield_rt.cli.printing import counting, stdout, write_result
from agentfield_rt.plane.evidence import EvidenceFiles


class _Evidence(msgspec.Struct, frozen=True):
    """Keys that count, checkpoints from outside the journal."""

    trusted: list[VerifierKey]
    earlier: list[str]


def print_verification(
    data: str, run: str | None, *, keys: Sequence[str], earlier: Sequence[Path] | None, as_json: bool
) -> ExitCode:
    """Whether what is stored is what was written."""
    evidence = _gather(data, keys, earlier)
    with counting("Checking") as progress:
        reports = asyncio.run(_check(data, run, evidence, progress))
    if not reports:
        raise Failure(f"there is neither a journal nor an exported run in {data}")
    whole = _joined(reports)
    if as_json:
        write_result(
            {
                "ok": whole.sound,
                "runs": whole.runs,
                "records": whole.records,
                "checkpoints": whole.checkpoints,
                "findings": [msgspec.to_builtins(finding) for finding in whole.findings],
            }
        )
    else:
        _print_findings(reports, whole)
    return ExitCode.OK if whole.sound else ExitCode.UNSOUND


def _gather(data: str, keys: Sequence[str], earlier: Sequence[Path] | None) -> _Evidence:
    """What was given; else what the server left beside the journal."""
    beside = None if is_url(data) else EvidenceFiles.beside(file_at(data).parent)
    if beside is not None and beside.journal != file_at(data):
        beside = None
    try:
        trusted = [key for text in keys for key in _read_keys(text)]
        if not keys and beside is not None and beside.verifier_key.is_file():
            trusted = _read_keys(str(beside.verifier_key))
        files = list(earlier or ())
        if earlier is None and beside is not None and beside.checkpoints.is_file():
            files = [beside.checkpoints]
        return _Evidence(trusted, [note for file in files for note in read_notes(file)])
    except OSError as error:
        raise Failure(f"cannot read {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise Failure(str(error)) from error


def _read_keys(text: str) -> list[VerifierKey]:
    if Path(text).is_file():
        return [VerifierKey.parse(line) for line in Path(text).read_text().splitlines() if line.strip()]
    return [VerifierKey.parse(text)]


async def _check(
    data: str, run: str | None, evidence: _Evidence, progress: Callable[[int], None]
) -> dict[str, Report]:
    trusted, earlier = evidence.trusted, evidence.earlier
    if run is not None or is_url(data):
        async with open_journal(journal_url(data), read_only=True) as journal:
            run_id = await find_run(journal, run) if run is not None else None
            report = await verify(journal, run_id=run_id, trusted=trusted, earlier=earlier, progress=progress)
        return {data: report}
    reports = await verify_path(_whole(data), trusted=trusted, earlier=earlier, progress=progress)
    return {str(path): report for path, report in reports.items()}


def _whole(data: str) -> Path:
    """A data folder's journal; any other folder or file as it is.

    Raises:
        Failure: there is nothing, or a file of something else.
    """
    folder = Path(data)
    if folder.is_dir() and not EvidenceFiles.beside(folder).journal.is_file():
        return folder
    path = journal_file(data)
    with path.open("rb") as file:
        start = file.read(16)
    if start[:1] != b"{" and start != b"SQLite format 3\x00":
        raise Failure(f"{path} is neither a journal nor an exported run")
    return path


def _joined(reports: dict[str, Report]) -> Report:
    return Report(
        runs=sum(report.runs for report in reports.values()),
        records=sum(report.records for report in reports.values()),
        checkpoints=sum(report.checkpoints for report in reports.values()),
        findings=[finding for report in reports.values() for finding in report.findings],
    )


def _print_findings(reports: dict[str, Report], whole: Report) -> None:
    counted = f"{whole.records} records in {whole.runs} {'run' if whole.runs == 1 else 'runs'}"
    if whole.sound:
        stdout().print(f"[green]✓[/green] {counted}, every one in its place and as it was written")
        if whole.checkpoints:
            stdout().print(f"[green]✓[/green] {whole.checkpoints} signed checkpoints, all of them hold")
        else:
            stdout().print("[dim]No signature was checked: --key names the key that signs[/dim]")
        return
    for name, report in reports.items():
        where = f"{escape(name)}: " if len(reports) > 1 else ""
        for finding in report.findings:
            record = f"{escape(finding.run_id)} record {finding.seq}: " if finding.run_id else ""
            stdout().print(f"[red]✗[/red] {where}{record}{escape(finding.problem)}", soft_wrap=True)
    stdout().print(f"{counted} are sound; what follows a bad record cannot be trusted")
