"""A folder is verified as a whole: what was not looked at is named, what was damaged is not passed over."""

from pathlib import Path

import apsw
import pytest

from agentfield_journal import open_content, open_journal
from agentfield_journal.retirement import archive_runs
from agentfield_journal.testing import make_draft
from agentfield_journal.tools import verify_path
from agentfield_journal.verification import Report


async def write(path: Path, *, archive: bool = False) -> Path | None:
    async with open_journal(f"sqlite:///{path}") as journal:
        for run_id in ("run-1", "run-2"):
            writer = await journal.open_run(run_id)
            writer.append([make_draft(1)])
            await writer.release()
        return await archive_runs(journal, ["run-1"]) if archive else None


async def look(path: Path) -> tuple[dict[str, Report], dict[str, str]]:
    """What was verified and what was passed over, by name."""
    others: dict[Path, str] = {}
    reports = await verify_path(path, passed_over=others.__setitem__)
    return {p.name: report for p, report in reports.items()}, {p.name: why for p, why in others.items()}


@pytest.mark.asyncio
async def test_what_is_no_journal_is_named_as_passed_over(tmp_path: Path) -> None:
    archive = await write(tmp_path / "data" / "journal.db", archive=True)
    async with open_content(f"sqlite:///{tmp_path}/data/content.db"):
        """A store beside it, as a server has one."""
    other = apsw.Connection(str(tmp_path / "data" / "memory.db"))
    other.pragma("application_id", int.from_bytes(b"AFM1"))  # pyright: ignore[reportUnknownMemberType]
    other.close()
    (tmp_path / "poetry.lock").touch()
    reports, others = await look(tmp_path)
    assert {name: report.sound for name, report in reports.items()} == {"journal.db": True}
    assert archive is not None and archive.exists()
    assert others == {
        "content.db": "a content store",
        "content.db.key": "neither a journal nor an exported run",
        "memory.db": "neither a journal nor an exported run",
        "poetry.lock": "neither a journal nor an exported run",
    }


@pytest.mark.asyncio
async def test_an_archive_that_no_journal_names_is_told(tmp_path: Path) -> None:
    archive = await write(tmp_path / "journal.db", archive=True)
    assert archive is not None
    (tmp_path / "journal.db").unlink()
    reports, others = await look(tmp_path)
    assert reports == {}
    assert others[archive.name] == "an archive that no journal here names"
    alone, _ = await look(archive)
    assert alone[archive.name].sound and alone[archive.name].runs == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["journal.db", "journal"])
@pytest.mark.parametrize("beginning", [b"\0", b"SQLite format 4\0", bytes(100)])
async def test_a_journal_whose_first_bytes_are_damaged_is_a_finding(
    tmp_path: Path, name: str, beginning: bytes
) -> None:
    await write(tmp_path / "sound.db")
    await write(tmp_path / name)
    with (tmp_path / name).open("r+b") as file:
        file.write(beginning)
    for path in (tmp_path, tmp_path / name):
        reports, others = await look(path)
        (finding,) = reports.pop(name).findings
        assert "damaged" in finding.problem and str(tmp_path / name) in finding.problem
        assert others == {} and all(report.sound for report in reports.values())


@pytest.mark.asyncio
async def test_an_empty_journal_file_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "journal.db").touch()
    reports, _ = await look(tmp_path)
    assert not reports["journal.db"].sound
