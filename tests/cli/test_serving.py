"""Servers started from the command line: what keeps them from starting, and how they end."""

import os
import subprocess
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.cli.conftest import AF, EXAMPLE, af, environment, first_line, press_ctrl_c, start_af


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, whatever session it is in."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    children: dict[int, list[int]] = {}
    for line in table.stdout.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        waiting += (below := children.get(waiting.pop(), []))
        found += below
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_hangs_up_ends_every_process_and_leaves_a_journal_that_verifies(tmp_path: Path) -> None:
    process = start_af("demo", "--port", "0", "--data", tmp_path / "data")
    line = first_line(process)
    url = line.split()[1]
    assert line.count("http://") == 1
    api = f"{url}/api/v1"
    session = httpx.post(f"{api}/session-targets/voice-support.voice-websocket/start").json()
    path = f"{api}/session-instances/{session['session_id']}"
    httpx.post(f"{path}/input", json={"text": "tell me a long story"}).raise_for_status()
    below = descendants(process.pid)
    assert len(below) >= 3, "the provider, its ears and its mouth run"

    ended = press_ctrl_c(process)

    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert str(tmp_path / "data" / "journal.db") in ended.out
    assert "af journal" in ended.out
    assert not [pid for pid in below if is_alive(pid)]
    assert af("journal", "verify", "--data", tmp_path / "data").code == 0
    records = af("journal", "show", session["session_id"], "--data", tmp_path / "data", "--json").json[
        "records"
    ]
    assert [record["kind"] for record in records[-2:]] == ["session_ended", "run_completed"]
    assert records[-2]["data"]["reason"] == "shutdown"


def test_a_busy_port_is_one_line_that_says_what_to_do(tmp_path: Path, taken_port: int) -> None:
    ran = af("serve", EXAMPLE, "--port", str(taken_port), "--data", tmp_path / "data")
    assert ran.code == 2
    assert str(taken_port) in ran.complaint
    assert "--port" in ran.complaint
    assert not (tmp_path / "data").exists()


def test_a_data_folder_in_use_is_one_line_that_says_what_to_do(server: tuple[str, Path]) -> None:
    _, data = server
    ran = af("demo", "--port", "0", "--data", data)
    assert ran.code == 2
    assert str(data) in ran.complaint
    assert "--data" in ran.complaint


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("nothing/here.py", "there is no file nothing/here.py"),
        ("no_such_module_anywhere", "there is no module no_such_module_anywhere"),
        (f"{EXAMPLE}:desk", f"has no Agent named 'desk'; it has {EXAMPLE}:app"),
    ],
)
def test_an_app_that_is_not_there_is_named(app: str, complaint: str) -> None:
    ran = af("serve", app)
    assert ran.code == 2
    assert complaint in ran.complaint


def test_an_app_that_does_not_import_says_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("first = 1\nsecond = missing\n")
    ran = af("serve", path)
    assert ran.code == 2
    assert "NameError" in ran.complaint
    assert "line 2" in ran.complaint
    path.write_text("from agentfield_rt import Agent\nAgent('a').record('missing')\n")
    ran = af("serve", path)
    assert f"({path}, line 2)" in ran.complaint, "not where the runtime refused it"
    path.write_text("first = 1\ndef (:\n")
    ran = af("serve", path)
    assert "line 2" in ran.complaint
    assert "importlib" not in ran.complaint


def test_a_setting_that_cannot_be_used_names_its_variable() -> None:
    ran = af("serve", AGENTFIELD_RT_PORT="many")
    assert ran.code == 2
    assert "AGENTFIELD_RT_PORT" in ran.complaint


def test_the_local_provider_runs_alone_and_says_where() -> None:
    process = start_af("provider", "--port", "0", "--seed", "7")
    ready = msgspec.json.decode(first_line(process))
    assert httpx.get(ready["url"], timeout=5).status_code < 500
    assert press_ctrl_c(process).code == 0


def test_help_names_defaults_and_fills_the_lines_of_its_terminal() -> None:
    shown = " ".join(af("demo", "--help").out.split())
    assert "[default: (127.0.0.1)]" in shown
    assert (
        "stays until the last answer" in af("demo", "--help").out
    )  # 120 columns: not broken where the source is
    assert "(as registered)" in af("session", "start", "--help").out


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    ran = af("--help")
    assert ran.code == 0
    for command in ("demo", "serve", "provider", "session", "journal"):
        assert command in ran.out
    heavy = "{'aiortc', 'fastapi', 'httpx', 'numpy', 'uvicorn'} & set(sys.modules)"
    probe = f"import sys; import agentfield_rt.cli.program; print({heavy})"
    loaded = subprocess.run(
        [AF[0], "-c", probe], capture_output=True, text=True, check=True, env=environment()
    )
    assert loaded.stdout.strip() == "set()"


def test_the_version_is_the_package_s() -> None:
    from agentfield_rt import __version__

    assert af("--version").out == f"af {__version__}\n"
