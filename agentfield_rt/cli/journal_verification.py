"""`af journal verify`: is what is stored what was written, and what the signed checkpoints saw?"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agentfield_journal import Report, verify
from agentfield_journal.evidence.notes import VerifierKey
from agentfield_journal.evidence.places import read_notes
from agentfield_journal.tools import verify_path
from agentfield_journal.verification import Finding
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.journal_reading import file_at, find_run, is_url, journal_file, reading
from agentfield_rt.cli.printing import counting, interruptible, literal, stdout, write_result
from agentfield_rt.plane.upkeep.evidence import EvidenceFiles


class _Evidence(msgspec.Struct, frozen=True):
    """Keys that count, checkpoints from outside the journal."""

    trusted: list[VerifierKey]
    earlier: list[str]


class _PassedOver(msgspec.Struct, frozen=True):
    """A file in a folder that was not verified."""

    file: str
    why: str


def print_verification(
    data: str, run: str | None, *, keys: Sequence[str], earlier: Sequence[Path] | None, as_json: bool
) -> ExitCode:
    """Whether what is stored is what was written."""
    evidence = _gather(data, keys, earlier)
    others: list[_PassedOver] = []
    with interruptible(), counting("Checking") as progress:
        reports = asyncio.run(_check(data, run, evidence, others, progress=progress))
    if keys:
        reports = {name: _signed(report) for name, report in reports.items()}
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
                "passed_over": [msgspec.to_builtins(other) for other in others],
            }
        )
    else:
        _print_findings(reports, whole)
        for other in others:
            stdout().print(f"[dim]Passed over: {literal(other.file)}, {other.why}[/dim]", soft_wrap=True)
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
    data: str,
    run: str | None,
    evidence: _Evidence,
    others: list[_PassedOver],
    *,
    progress: Callable[[int], None],
) -> dict[str, Report]:
    trusted, earlier = evidence.trusted, evidence.earlier
    if run is not None or is_url(data):
        async with reading(data) as journal:
            run_id = await find_run(journal, run) if run is not None else None
            report = await verify(journal, run_id=run_id, trusted=trusted, earlier=earlier, progress=progress)
        return {data: report}
    reports = await verify_path(
        _whole(data),
        trusted=trusted,
        earlier=earlier,
        progress=progress,
        passed_over=lambda file, why: others.append(_PassedOver(str(file), why)),
    )
    return {str(path): report for path, report in reports.items()}


def _signed(report: Report) -> Report:
    """With a finding when no checkpoint was signed: whoever names a key asks whether one was."""
    if report.checkpoints or not report.sound:
        return report
    problem = "there is no checkpoint, so nothing shows that whoever has the key saw this journal"
    return msgspec.structs.replace(report, findings=[Finding(run_id="", seq=0, problem=problem)])


def _whole(data: str) -> Path:
    """A data folder's journal; any other folder or file as it is.

    Raises:
        Failure: there is nothing, or a file of something else, also by its name.
    """
    folder = Path(data)
    if folder.is_dir() and not EvidenceFiles.beside(folder).journal.is_file():
        return folder
    path = journal_file(data)
    with path.open("rb") as file:
        start = file.read(16)
    if start[:1] != b"{" and start != b"SQLite format 3\x00" and path.suffix != ".db":
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
        where = f"{literal(name)}: " if len(reports) > 1 else ""
        for finding in report.findings:
            record = f"{literal(finding.run_id)} record {finding.seq}: " if finding.run_id else ""
            stdout().print(f"[red]✗[/red] {where}{record}{literal(finding.problem)}", soft_wrap=True)
    stdout().print(f"{counted} are sound; what follows a bad record cannot be trusted")
