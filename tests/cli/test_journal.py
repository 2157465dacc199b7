"""`af journal` on the journal of a real call, on a damaged copy, and beside a live server."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import apsw
import pytest

from agentfield_journal.stores.sqlite_connection import connect
from tests.cli.conftest import Call, af


@pytest.fixture
def copy(call: Call, tmp_path: Path) -> Path:
    """A copy of the call's data."""
    return Path(shutil.copytree(call.data, tmp_path / "data"))


def tamper(data: Path, *, seq: int) -> None:
    """Change the last byte of a record."""
    database = connect(data / "journal.db", apsw.SQLITE_OPEN_READWRITE, None)
    body = database.execute("SELECT body FROM records WHERE seq = ?", (seq,)).get
    assert isinstance(body, bytes)
    changed = body[:-1] + bytes([body[-1] ^ 1])
    database.execute("UPDATE records SET body = ? WHERE seq = ?", (changed, seq))
    database.close()


def test_list_names_the_run_and_how_it_ended(call: Call) -> None:
    (run,) = af("journal", "list", "--data", call.data, "--json").json["runs"]
    assert run["run_id"] == call.ran.json["run_id"]
    assert run["state"] == "completed"
    assert run["run_id"] in af("journal", "list", "--data", call.data / "journal.db").out


def test_show_puts_outcomes_under_their_intents_and_keeps_words_out(call: Call) -> None:
    ran = af("journal", "show", "--data", call.data)
    assert ran.code == 0
    assert "└ turn_completed" in ran.out
    assert "customs" not in ran.out
    assert "provider events that went as always are left out" in ran.out
    assert "realtime_output_received" in af("journal", "show", "--data", call.data, "--all").out


def test_show_resolves_words_on_request(call: Call) -> None:
    ran = af("journal", "show", call.ran.json["session_id"], "--data", call.data, "--content", "--json")
    records = {record["kind"]: record for record in ran.json["records"]}
    assert "Shall I cancel order twelve?" in records["utterance_played"]["content"].values()
    assert [record["seq"] for record in ran.json["records"]] == list(range(1, len(ran.json["records"]) + 1))


def test_a_run_may_be_named_by_its_beginning_and_an_unknown_one_is_refused(call: Call) -> None:
    beginning = call.ran.json["run_id"][:20]
    assert af("journal", "show", beginning, "--data", call.data).code == 0
    unknown = af("journal", "show", "run_nobody", "--data", call.data)
    assert unknown.code == 2
    assert "there is no run run_nobody" in unknown.complaint


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    ran = af("journal", "list", "--data", tmp_path)
    assert ran.code == 2
    assert "there is no journal" in ran.complaint


def test_verify_finds_a_record_that_was_changed(copy: Path) -> None:
    assert af("journal", "verify", "--data", copy).code == 0
    tamper(copy, seq=7)

    ran = af("journal", "verify", "--data", copy, "--json")

    assert ran.code == 1
    assert ran.json["ok"] is False
    (finding,) = ran.json["findings"]
    assert finding["seq"] == 7
    assert "✗" in af("journal", "verify", "--data", copy).out


def test_a_damaged_run_is_shown_as_damaged(copy: Path) -> None:
    tamper(copy, seq=7)
    ran = af("journal", "show", "--data", copy)
    assert ran.code == 3
    assert "7" in ran.complaint


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a journal at all, but long enough to be taken for a file of some kind")
    ran = af("journal", "verify", "--data", path)
    assert ran.code in (2, 3)
    assert str(path) in ran.complaint


def test_the_timeline_is_drawn_in_the_terminal_and_as_a_picture(call: Call, tmp_path: Path) -> None:
    drawn = af("journal", "timeline", "--data", call.data)
    assert drawn.code == 0
    assert drawn.out.startswith("caller")
    assert "customs" not in drawn.out
    picture = tmp_path / "call.svg"
    ran = af("journal", "timeline", "--data", call.data, "--svg", picture, "--content")
    assert ran.code == 0
    assert "Order eight" in "".join(ElementTree.parse(picture).getroot().itertext())


def test_a_picture_that_cannot_be_written_is_one_line(call: Call, tmp_path: Path) -> None:
    ran = af("journal", "timeline", "--data", call.data, "--svg", tmp_path / "no" / "call.svg")
    assert ran.code == 2
    assert "cannot write" in ran.complaint


def test_a_journal_is_read_beside_the_server_that_writes_it(server: tuple[str, Path]) -> None:
    url, data = server
    started = af("session", "start", "voice-support.voice", "--server", url).json
    runs = af("journal", "list", "--data", data, "--json").json["runs"]
    assert (started["run_id"], "open") in [(run["run_id"], run["state"]) for run in runs]
    assert af("journal", "verify", "--data", data).code == 0
