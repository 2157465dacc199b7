"""`af journal audit` as a shell runs it: exit codes, JSON, one line for what cannot be read."""

import asyncio
import json
from pathlib import Path

import pytest

from agentfield_journal import open_journal
from agentfield_rt.cli.program import run as run_program
from agentfield_rt.core import records
from agentfield_rt.run import Context, Run
from tests.audit.story import CALL, RUN_ID, SESSION_ID, dispatch


async def write(url: str, *, run_id: str = RUN_ID, broken: bool = False) -> None:
    async with open_journal(url) as journal:
        run = await Run.open(journal, run_id)
        run.append(CALL, Context(session_id=f"{SESSION_ID}_{run_id}"))
        if broken:
            run.append([dispatch("d9", "key-1")], Context(session_id=SESSION_ID))
        else:
            await run.seal(records.RunCompleted())
        await run.release()


def af(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["af", "journal", "audit", *arguments])
    return run_program()


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/journal.db"
    asyncio.run(write(url))
    return url


def test_a_clean_journal_ends_with_0(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert af(monkeypatch, "--data", url) == 0
    assert f"{len(CALL) + 1} records in 1 run, and every promise kept" in capsys.readouterr().out


def test_findings_end_with_1_and_are_json_for_a_script(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(write(url, run_id="run_z", broken=True))
    assert af(monkeypatch, "--data", url, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["runs"], answer["open_operations"]) == (False, 2, 1)
    (finding,) = answer["findings"]
    assert finding == {
        "code": "45-delivered-twice",
        "run_id": "run_z",
        "seq": len(CALL) + 1,
        "op_id": "d9",
        "problem": "What it delivers had been delivered before.",
    }
    assert af(monkeypatch, "--data", url) == 1
    out = capsys.readouterr().out
    assert f"45-delivered-twice run_z record {len(CALL) + 1} d9: What it delivers" in out
    assert "1 operations are open" in out


def test_one_run_can_be_audited_by_itself(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(write(url, run_id="run_z", broken=True))
    assert af(monkeypatch, RUN_ID, "--data", url) == 0
    assert af(monkeypatch, "run_z", "--data", url) == 1
    capsys.readouterr()


def test_a_text_that_must_not_be_there_is_looked_for(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert af(monkeypatch, "--data", url, "--sentinel", "desk.phone", "--json") == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["code"], finding["seq"]) == ("38-sentinel-found", 1)
    assert "desk.phone" not in finding["problem"]


@pytest.mark.parametrize("what", ["nothing there", "no journal", "no such run", "no server"])
def test_what_cannot_be_read_ends_with_2(
    what: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "nothing there": ["--data", str(tmp_path / "nowhere.db")],
        "no journal": ["--data", str(tmp_path / "letter.txt")],
        "no such run": ["run_nobody", "--data", url],
        "no server": ["--data", "postgresql://127.0.0.1:1/af?connect_timeout=1"],
    }
    (tmp_path / "letter.txt").write_text("Dear auditor")
    assert af(monkeypatch, *arguments[what]) == 2
    assert capsys.readouterr().err.startswith("af: ")
