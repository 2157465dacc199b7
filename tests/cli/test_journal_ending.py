"""`af journal` when whoever asked has seen enough: a closed pipe, Ctrl-C while a large file is read."""

import subprocess

import pytest

from tests.cli.conftest import AF, Call, environment, first_line, press_ctrl_c, start_af

STUCK = """
import threading
from agentfield_journal.stores.sqlite_file import SqliteFile

def never_ends(file):
    print("reading", flush=True)
    threading.Event().wait()

SqliteFile.integrity_problems = never_ends
"""
"""A disk that does not answer while SQLite looks through the file."""


@pytest.mark.parametrize("command", ["list", "show", "tail", "verify"])
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
def test_a_closed_pipe_ends_a_command_quietly_and_not_as_unsound(
    call: Call, command: str, as_json: list[str]
) -> None:
    process = start_af("journal", command, "--data", call.data, *as_json)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_ctrl_c_ends_a_verification_at_once_though_the_file_is_still_read(call: Call) -> None:
    python, option, program = AF
    process = subprocess.Popen(
        [python, option, STUCK + program, "journal", "verify", "--data", str(call.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )
    assert first_line(process) == "reading\n"
    ended = press_ctrl_c(process)
    assert (ended.code, ended.out, ended.err) == (130, "", "")
