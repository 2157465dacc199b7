"""`af journal tail|export|import|upgrade|erase|stats`, and `verify` with evidence, after a real call."""

import json
import select
import shutil
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Call, af, first_line, press_ctrl_c, start_af
from tests.cli.test_journal import tamper


@pytest.fixture
def copy(call: Call, tmp_path: Path) -> Path:
    """A copy of the call's data."""
    return Path(shutil.copytree(call.data, tmp_path / "data"))


def test_tail_prints_the_end_of_a_run_and_stops_with_its_last_record(call: Call) -> None:
    ran = af("journal", "tail", "--data", call.data, "--last", "3", "--json")
    assert ran.code == 0
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert len(records) == 3
    assert records[-1]["kind"] == "run_completed"
    assert "run_completed" in af("journal", "tail", "--data", call.data, "-n", "1").out


def test_tail_follows_every_run_of_a_running_server(server: tuple[str, Path]) -> None:
    url, data = server
    following = start_af("journal", "tail", "--all", "--data", data, "--json")
    assert following.stdout is not None
    try:
        while not select.select([following.stdout], [], [], 0)[0]:  # runs of before it looked are not shown
            assert af("session", "start", "voice-support.voice", "--server", url).code == 0
        record = json.loads(first_line(following))
    finally:
        ended = press_ctrl_c(following)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    runs = af("journal", "list", "--data", data, "--json").json["runs"]
    assert record["run_id"] in [run["run_id"] for run in runs]


def test_tail_of_a_run_follows_until_it_ends(server: tuple[str, Path]) -> None:
    url, data = server
    started = af("session", "start", "voice-support.voice", "--server", url).json
    following = start_af("journal", "tail", started["run_id"], "--data", data, "--json")
    first = json.loads(first_line(following))
    httpx.post(f"{url}/api/v1/session-instances/{started['session_id']}/close").raise_for_status()
    out, _ = following.communicate(timeout=20)
    assert following.returncode == 0
    assert first["run_id"] == started["run_id"]
    assert json.loads(out.splitlines()[-1])["kind"] == "run_completed"


def test_an_exported_run_is_verified_alone_and_imported_elsewhere(copy: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "call.jsonl", tmp_path / "other.db"
    exported = af("journal", "export", "run_", file, "--data", copy, "--json")
    assert exported.code == 0
    assert exported.json["checkpoint"] is True
    key = copy / "journal.pub"
    checked = af("journal", "verify", "--data", file, "--key", key, "--json")
    assert (checked.code, checked.json["checkpoints"]) == (0, 1)
    assert (
        af("journal", "import", file, "--data", other, "--json").json["records"] == exported.json["records"]
    )
    assert af("journal", "verify", exported.json["run_id"], "--data", other).code == 0
    assert af("journal", "import", file, "--data", other).code == 2
    assert "there already" in af("journal", "export", "run_", file, "--data", copy).complaint


def test_a_changed_export_is_refused(copy: Path, tmp_path: Path) -> None:
    file = tmp_path / "call.jsonl"
    assert af("journal", "export", "run_", file, "--data", copy).code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    assert af("journal", "verify", "--data", file).code == 1
    file.write_bytes(b"".join([*lines[:5], *lines[6:]]))
    assert af("journal", "import", file, "--data", tmp_path / "other.db").code == 3


def test_records_are_exported_for_analysis(copy: Path, tmp_path: Path) -> None:
    lines, table = tmp_path / "records.jsonl", tmp_path / "records.parquet"
    count = af("journal", "export", "all", lines, "--json-lines", "--data", copy, "--json").json["records"]
    assert len(lines.read_text().splitlines()) == count
    assert json.loads(lines.read_text().splitlines()[0])["seq"] == 1
    pytest.importorskip("pyarrow")
    assert (
        af("journal", "export", "all", table, "--parquet", "--data", copy, "--json").json["records"] == count
    )
    assert table.read_bytes()[:4] == b"PAR1"
    assert af("journal", "export", "all", tmp_path / "no", "--data", copy).code == 2


def test_verify_reports_signed_checkpoints_and_finds_a_journal_that_was_set_back(
    copy: Path, tmp_path: Path
) -> None:
    ran = af("journal", "verify", "--data", copy, "--json")
    assert ran.code == 0
    assert ran.json["checkpoints"] >= 1
    assert "signed checkpoints" in af("journal", "verify", "--data", copy).out
    file, other = tmp_path / "call.jsonl", tmp_path / "other.db"
    assert af("journal", "export", "run_", file, "--data", copy).code == 0
    assert af("journal", "import", file, "--data", other).code == 0
    outside = ("--earlier", copy / "checkpoints", "--key", copy / "journal.pub")
    assert af("journal", "verify", "--data", other).code == 0
    found = af("journal", "verify", "--data", other, *outside, "--json")
    assert found.code == 1
    assert "it was cut, or is an older copy" in found.json["findings"][0]["problem"]


def test_a_key_that_is_none_is_refused_in_one_line(call: Call) -> None:
    ran = af("journal", "verify", "--data", call.data, "--key", "nonsense")
    assert ran.code == 2
    assert "verifier key" in ran.complaint


def test_a_folder_of_journals_and_exports_is_verified_as_one(copy: Path, tmp_path: Path) -> None:
    assert af("journal", "export", "run_", tmp_path / "call.jsonl", "--data", copy).code == 0
    ran = af("journal", "verify", "--data", tmp_path, "--json")
    assert (ran.code, ran.json["runs"]) == (0, 2)
    tamper(copy, seq=7)
    assert af("journal", "verify", "--data", tmp_path).code == 1


def test_a_folder_s_other_files_are_named_and_a_damaged_journal_is_found(copy: Path, tmp_path: Path) -> None:
    ran = af("journal", "verify", "--data", tmp_path, "--json")
    assert ran.code == 0
    assert str(copy / "checkpoints") in [other["file"] for other in ran.json["passed_over"]]
    assert f"Passed over: {copy / 'content.db'}, a content store" in af(
        "journal", "verify", "--data", tmp_path
    ).out.replace("\n", "")
    with (copy / "journal.db").open("r+b") as file:
        file.write(b"?")
    for place in (tmp_path, copy):
        ran = af("journal", "verify", "--data", place, "--json")
        assert ran.code == 1 and "damaged" in ran.json["findings"][0]["problem"]


def test_an_upgrade_copies_a_journal_into_a_new_one(copy: Path, tmp_path: Path) -> None:
    ran = af("journal", "upgrade", copy, tmp_path / "new.db", "--json")
    assert ran.code == 0
    assert ran.json["ok"] is True
    assert af("journal", "verify", "--data", tmp_path / "new.db", "--key", copy / "journal.pub").code == 0
    assert af("journal", "upgrade", copy, tmp_path / "new.db").code == 2


def test_erased_words_are_gone_and_the_journal_still_verifies(call: Call, copy: Path) -> None:
    session_id = call.ran.json["session_id"]
    asked = af("journal", "erase", session_id, "--data", copy, given="n\n")
    assert asked.code != 0
    ran = af("journal", "erase", session_id, "--data", copy, "--yes", "--json")
    assert ran.code == 0
    assert ran.json["erased"] > 0
    shown = af("journal", "show", "--data", copy, "--content", "--json").json["records"]
    texts = [text for record in shown for text in record.get("content", {}).values()]
    assert texts and not any(texts)
    assert af("journal", "verify", "--data", copy).code == 0
    assert "no content" in af("journal", "erase", session_id, "--data", copy, "--yes").out


def test_nothing_is_erased_under_a_running_server(server: tuple[str, Path]) -> None:
    ran = af("journal", "erase", "sess_nobody", "--data", server[1], "--yes")
    assert ran.code == 2
    assert "is being written by process" in ran.complaint


def test_stats_count_what_list_lists(call: Call) -> None:
    (run,) = af("journal", "list", "--data", call.data, "--json").json["runs"]
    stats = af("journal", "stats", "--data", call.data, "--json").json
    assert (stats["runs"], stats["records"]) == (1, run["records"])
    assert stats["kinds"]["run_completed"] == 1
    assert "open operations" in af("journal", "stats", "--data", call.data).out


@pytest.mark.parametrize("command", ["tail", "export", "import", "upgrade", "erase", "stats", "verify"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert "Example" in af("journal", command, "--help").out
