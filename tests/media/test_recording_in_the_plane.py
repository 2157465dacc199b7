"""Recordings of a real server: told about, fetched, erased, sealed on the disk, there after kill -9."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from agentfield_rt import Agent, UnsupportedTransport
from agentfield_rt.errors import RecordingUnavailable
from agentfield_rt.plane.sessions import sessions
from tests.cli.conftest import af
from tests.media.recording_server import recorded_desk
from tests.media.test_recording import plays
from tests.plane.serving import Served, served
from tests.plane.test_media import media, ready

ROOT = Path(__file__).parents[2]
SECOND = bytes(32_000)
"""Of a caller, at 16 kHz."""


def talk(server: Served, *, seconds: int) -> str:
    """A call that says so much, as fast as it can, and hangs up; what it sent before that is heard."""
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        server.post(f"/api/v1/session-instances/{session_id}/input", {"text": "hello"})
        assert isinstance(socket.recv(10), bytes)
        for _ in range(seconds):
            socket.send(SECOND)
    with server.events(session_id) as events:
        events.kinds()
    return session_id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        with served(tmp_path_factory.mktemp("data"), patch, agents=[recorded_desk()]) as server:
            yield server


def test_whoever_starts_a_call_is_told_whether_it_is_recorded(server: Served) -> None:
    told = {
        name: server.post(f"/api/v1/session-targets/desk.{name}/start").json()["recorded"]
        for name in ("phone", "page")
    }
    assert told == {"phone": True, "page": False}
    targets = server.get("/api/v1/session-targets").json()["targets"]
    assert {each["target"]: each["recorded"] for each in targets} == {"desk.phone": True, "desk.page": False}
    session_id = server.start()
    assert server.get(f"/api/v1/session-instances/{session_id}").json()["recorded"] is True


def test_a_recording_is_fetched_as_one_file_and_is_what_the_journal_says(server: Served) -> None:
    session_id = talk(server, seconds=2)
    answer = server.get(f"/api/v1/session-instances/{session_id}/recording")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/ogg"
    assert answer.headers["x-recording-status"] == "stored"
    assert answer.headers["content-disposition"].startswith('attachment; filename="rec_')
    assert 1.9 <= plays(answer.content)[2] < 10
    with server.events(session_id) as events:
        stored = [data for event, _, data in events if '"recording_stored"' in data and event == "record"]
    (data,) = (httpx.Response(200, text=each).json()["data"] for each in stored)
    assert data["digest"] == sha256(answer.content).hexdigest()
    assert 95 <= data["caller"]["frames"] <= 100  # what is no whole frame at the end is not sent


def test_no_event_stream_carries_the_sound(server: Served) -> None:
    session_id = talk(server, seconds=1)
    with server.events(session_id) as events:
        pieces = [data for _, _, data in events if '"recording_segment_stored"' in data]
    assert pieces
    assert all("content" not in httpx.Response(200, text=each).json() for each in pieces)


def test_a_recording_is_written_by_the_command_line(server: Served, tmp_path: Path) -> None:
    session_id = talk(server, seconds=1)
    file = tmp_path / "call.ogg"
    ran = af("session", "recording", session_id, "--to", str(file), AGENTFIELD_SERVER=server.url)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert plays(file.read_bytes())[2] >= 0.9
    missing = tmp_path / "missing.ogg"
    ran = af("session", "recording", "sess_none", "--to", str(missing), AGENTFIELD_SERVER=server.url)
    assert (ran.code, missing.exists()) == (2, False)
    assert "session 'sess_none' not found" in ran.complaint


@pytest.mark.parametrize("session_id", ["sess_never", "run_20260101_000000_00", "..", "sess_%2F..%2Fx"])
def test_there_is_no_recording_of_a_call_that_never_was(server: Served, session_id: str) -> None:
    assert server.get(f"/api/v1/session-instances/{session_id}/recording").status_code == 404


def test_a_call_that_nobody_records_has_no_recording(server: Served) -> None:
    session_id = server.start("desk.page")
    answer = server.get(f"/api/v1/session-instances/{session_id}/recording")
    assert answer.status_code == 404
    assert "app.record" in answer.json()["error"]


def test_a_recording_that_has_just_begun_is_not_said_to_be_none(server: Served) -> None:
    session_id = server.start("desk.phone")
    base = f"/api/v1/session-instances/{session_id}"
    with connect(f"{server.url.replace('http', 'ws', 1)}{base}/media") as socket:
        socket.recv(20)
        answer = server.get(f"{base}/recording")
        assert answer.status_code == 404
        assert "ask again" in answer.json()["error"]


def test_a_server_that_cannot_record_takes_no_call_that_is_to_be_recorded(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable() -> None:
        raise RecordingUnavailable("pip install 'agentfield-rt[recording]'")

    monkeypatch.setattr(sessions, "encoder_factory", unavailable)
    answer = server.post("/api/v1/session-targets/desk.phone/start")
    assert (answer.status_code, "agentfield-rt[recording]" in answer.text) == (503, True)


def test_a_session_whose_media_does_not_come_here_cannot_be_recorded() -> None:
    app = recorded_desk()
    with pytest.raises(UnsupportedTransport, match="transport=websocket"):
        app.record("page")
    with pytest.raises(ValueError, match="no session 'fax'"):
        Agent("desk").record("fax")


def test_erased_is_erased_and_no_sound_is_ever_on_the_disk_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    with served(data, monkeypatch, agents=[recorded_desk()]) as server:
        session_id = talk(server, seconds=2)
        recording = server.get(f"/api/v1/session-instances/{session_id}/recording").content
    kept = b"".join(file.read_bytes() for file in sorted(data.rglob("*")) if file.is_file())
    assert recording.startswith(b"OggS")
    for telltale in (b"OggS", b"OpusHead", recording[100:132], recording[-64:-32]):
        assert telltale not in kept
    assert af("journal", "audit", "--data", str(data)).code == 0
    assert af("journal", "erase", session_id, "--data", str(data), "--yes").code == 0
    with served(data, monkeypatch, agents=[recorded_desk()]) as server:
        answer = server.get(f"/api/v1/session-instances/{session_id}/recording")
        assert (answer.status_code, "erased" in answer.json()["error"]) == (410, True)
    assert af("journal", "audit", "--data", str(data)).code == 0
    assert af("journal", "verify", "--data", str(data)).code == 0


# A server that is killed.


@contextmanager
def running(data: Path) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """A recording server in a process of its own; killed at the end if it still runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFIELD_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.media.recording_server", str(data)],
        cwd=ROOT,
        env=kept,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found.group(), process
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_a_server_killed_in_mid_call_leaves_a_recording_that_plays(tmp_path: Path) -> None:
    with running(tmp_path) as (url, process), httpx.Client(base_url=url, timeout=20) as client:
        session_id = client.post("/api/v1/session-targets/desk.phone/start").json()["session_id"]
        base = f"/api/v1/session-instances/{session_id}"
        with connect(f"{url.replace('http', 'ws', 1)}{base}/media") as socket:
            socket.recv(20)
            for _ in range(5):
                socket.send(SECOND)
            with client.stream("GET", f"{base}/events", timeout=20) as events:
                pieces = (line for line in events.iter_lines() if '"recording_segment_stored"' in line)
                assert all(next(pieces) for _ in range(3))
            so_far = client.get(f"{base}/recording")
            assert so_far.headers["x-recording-status"] == "recording"
            process.kill()
            process.wait(20)
    with running(tmp_path) as (url, _), httpx.Client(base_url=url, timeout=20) as client:
        answer = client.get(f"/api/v1/session-instances/{session_id}/recording")
        assert answer.headers["x-recording-status"] == "incomplete"
        assert answer.content[: len(so_far.content)] == so_far.content
        assert plays(answer.content)[2] > 0
    assert af("journal", "audit", "--data", str(tmp_path)).code == 0
