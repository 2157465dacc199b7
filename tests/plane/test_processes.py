"""Servers as processes: killed in mid-call, started again, and two that want the same thing."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from agentfield_journal import Envelope, open_journal, verify
from agentfield_rt.audit import audit
from agentfield_rt.core.evolve import replay
from agentfield_rt.plane.errors import DataDirectoryInUse, DataDirectoryUnusable
from agentfield_rt.plane.server import PortInUse, listen
from agentfield_rt.run import decode, realtime_records
from tests.plane.serving import Served, served

ROOT = Path(__file__).parents[2]


@contextmanager
def running(data: Path) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own; killed at the end if it still runs."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENTFIELD_", "OPENAI_"))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.plane.killed_server", str(data)],
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


def call_and_kill(data: Path) -> str:
    """A call over the real provider, cut short by kill -9 while the agent speaks; returns its session id."""
    with running(data) as (url, process), httpx.Client(base_url=url, timeout=20) as client:
        session_id = str(client.post("/api/v1/session-targets/desk.phone/start").json()["session_id"])
        media_url = f"{url.replace('http', 'ws', 1)}/api/v1/session-instances/{session_id}/media"
        with connect(media_url) as media:
            media.recv(20)
            client.post(f"/api/v1/session-instances/{session_id}/input", json={"text": "tell me everything"})
            while not isinstance(media.recv(20), bytes):
                media.send(bytes(640))
            media.send(bytes(640))
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    return session_id


async def stored(data: Path, session_id: str) -> list[Envelope]:
    """The records of a session's run, the whole journal checked."""
    async with open_journal(f"sqlite:///{data}/journal.db", read_only=True) as journal:
        assert (await verify(journal)).sound
        return await journal.read(session_id.replace("sess_", "run_"))


def test_a_server_killed_in_mid_call_leaves_a_journal_that_verifies_and_folds(tmp_path: Path) -> None:
    session_id = call_and_kill(tmp_path)
    envelopes = asyncio.run(stored(tmp_path, session_id))
    kinds = [decode(envelope).kind for envelope in envelopes]
    assert "utterance_requested" in kinds
    assert "session_ended" not in kinds
    state = replay(session_id, realtime_records(envelopes, session_id))
    assert state.send_cursor > 0
    with running(tmp_path) as (url, _), httpx.Client(base_url=url, timeout=20) as client:
        shown = client.get(f"/api/v1/session-instances/{session_id}").json()
        assert (shown["status"], shown["close_reason"]) == ("ended", "internal")
        again = client.post("/api/v1/session-targets/desk.phone/start")
        assert again.status_code == 201
    envelopes = asyncio.run(stored(tmp_path, session_id))
    assert [envelope.kind for envelope in envelopes][-2:] == ["session_ended", "run_failed"]
    assert not audit(envelopes).findings


def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch) as first:
        assert isinstance(first, Served)
        with pytest.raises(DataDirectoryInUse, match="in use by another server"), served(tmp_path, patch):
            pass
        assert first.get("/health").status_code == 200


def test_a_data_directory_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(DataDirectoryUnusable, match=f"{data} cannot be used .*choose another with --data"),
            served(data, patch),
        ):
            pass


def test_a_data_directory_that_lost_its_key_is_refused_and_says_so(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        with served(tmp_path, patch):
            pass
        (tmp_path / "content.db.key").unlink()
        with (
            pytest.raises(DataDirectoryUnusable, match=r"content\.db\.key is gone.*put the key back"),
            served(tmp_path, patch),
        ):
            pass
        assert not (tmp_path / "content.db.key").exists()


def test_a_port_has_one_listener_and_the_second_is_told_what_to_do() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"cannot listen on 127\.0\.0\.1:{port} .*0 for a free one"):
            listen("127.0.0.1", port)
