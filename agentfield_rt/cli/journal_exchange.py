"""`af journal export`, `import`, `upgrade`: runs and whole journals on their way to somewhere else."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from agentfield_journal import Report, StoreJournal, open_journal
from agentfield_journal.tools import (
    export_json_lines,
    export_parquet,
    export_run,
    import_run,
    upgrade_journal,
)
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.journal_options import EVERY_RUN
from agentfield_rt.cli.journal_reading import file_at, find_run, is_url, journal_url, reading, shown
from agentfield_rt.cli.printing import counting, stdout, write_result
from agentfield_rt.plane.data_directory import journal_path


class Shape(Enum):
    """What an exported file is for."""

    PROOF = auto()
    PROOF_WITH_LEAVES = auto()
    JSON_LINES = auto()
    PARQUET = auto()

    @property
    def proves(self) -> bool:
        return self in (Shape.PROOF, Shape.PROOF_WITH_LEAVES)


def print_export(data: str, run: str, file: Path, *, shape: Shape, as_json: bool) -> None:
    """Export a run, or for analysis all of them."""
    if run == EVERY_RUN and shape.proves:
        raise Failure("only one run fits in a file that proves itself; name it, or add --json-lines")
    try:
        with counting("Exporting") as progress:
            result = asyncio.run(_export(data, run, file, shape=shape, progress=progress))
    except FileExistsError as error:
        raise Failure(f"{file} is there already; choose another name") from error
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror}") from error
    if as_json:
        write_result(result)
    else:
        proof = ", with a signed checkpoint" if result.get("checkpoint") else ""
        stdout().print(f"{result['records']} records are in {file}{proof}", soft_wrap=True, markup=False)


async def _export(
    data: str, run: str, file: Path, *, shape: Shape, progress: Callable[[int], None]
) -> dict[str, object]:
    async with reading(data) as journal:
        if not shape.proves:
            return await _export_table(journal, run, file, shape=shape, progress=progress)
        leaves = shape is Shape.PROOF_WITH_LEAVES
        run_id = await find_run(journal, run)
        header = await export_run(journal, run_id, file, leaves=leaves, progress=progress)
    return {
        "file": str(file),
        "run_id": header.run_id,
        "records": header.records,
        "head": header.hash,
        "checkpoint": header.checkpoint is not None,
    }


async def _export_table(
    journal: StoreJournal, run: str, file: Path, *, shape: Shape, progress: Callable[[int], None]
) -> dict[str, object]:
    run_ids = None if run == EVERY_RUN else [await find_run(journal, run)]
    export = export_json_lines if shape is Shape.JSON_LINES else export_parquet
    return {
        "file": str(file),
        "records": await export(journal, file, run_ids=run_ids, progress=progress),
    }


def print_import(data: str, file: Path, *, as_json: bool) -> None:
    """Store an exported run in the journal at `data`, which is made if need be."""
    if not file.is_file():
        raise Failure(f"there is no file {file}")
    url = _new_or_old(data)
    with counting("Importing") as progress:
        records = asyncio.run(_import(url, file, progress))
    if as_json:
        write_result({"journal": shown(url), "records": records})
    else:
        stdout().print(f"{records} records are in {shown(url)}", soft_wrap=True, markup=False)


async def _import(url: str, file: Path, progress: Callable[[int], None]) -> int:
    async with open_journal(url) as journal:
        return await import_run(journal, file, progress=progress)


def print_upgrade(source: str, target: str, *, as_json: bool) -> ExitCode:
    """Copy a journal and say whether the copy verifies."""
    source_url, target_url = journal_url(source), _new_or_old(target)
    with counting("Copying") as progress:
        report = asyncio.run(_upgrade(source_url, target_url, progress))
    if as_json:
        write_result(
            {
                "ok": report.sound,
                "journal": shown(target_url),
                "runs": report.runs,
                "records": report.records,
            }
        )
    elif report.sound:
        stdout().print(
            f"{report.records} records in {report.runs} runs are in {shown(target_url)}, and verify",
            soft_wrap=True,
            markup=False,
        )
    else:
        stdout().print(f"the copy does not verify: {report.findings[0].problem}", markup=False)
    return ExitCode.OK if report.sound else ExitCode.UNSOUND


async def _upgrade(source_url: str, target_url: str, progress: Callable[[int], None]) -> Report:
    try:
        return await upgrade_journal(source_url, target_url, progress=progress)
    except ValueError as error:
        raise Failure(str(error)) from error


def _new_or_old(place: str) -> str:
    """The URL of a journal that need not be there."""
    if is_url(place):
        return place
    path = Path(place)
    folder = not path.exists() and not path.suffix  # a data folder to be, such as `.agentfield`
    return f"sqlite:///{journal_path(path) if folder else file_at(place)}"
