"""Servers as processes that are told to stop while something is going on."""

import asyncio
import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agentfield_journal import open_journal, verify
from agentfield_rt.core.records import Record, SessionEnded
from agentfield_rt.run import decode
from tests.operation.watching import Watched, watched


@contextmanager
def a_line() -> Generator[socket.socket]:
    """Somebody to connect to: what `connects` is waiting for ends with this."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def told_to_stop(server: Watched) -> str:
    """What it says when it is."""
    server.signal(signal.SIGTERM)
    assert server.process.stdout is not None
    return server.process.stdout.readline()


async def records_of(data: Path, session: str) -> list[Record]:
    """What the journal has of a session, the whole of it checked."""
    async with open_journal(f"sqlite:///{data}/journal.db", read_only=True) as journal:
        assert (await verify(journal)).sound
        return list(map(decode, await journal.read(session.rpartition("/")[2].replace("sess_", "run_"))))


def why_it_ended(data: Path, session: str) -> str:
    (ended,) = [each for each in asyncio.run(records_of(data, session)) if isinstance(each, SessionEnded)]
    return ended.reason


def test_a_server_told_to_stop_takes_nothing_new_and_lets_calls_and_executions_end(tmp_path: Path) -> None:
    with a_line() as line, watched(tmp_path) as server:
        session = server.start()
        with server.call(session) as media:
            execution = server.execute("desk.connects", port=line.getsockname()[1])
            held, _ = line.accept()
            assert "1 call and 1 execution" in told_to_stop(server)

            again = server.client.post("/api/v1/session-targets/desk.phone/start")
            assert again.status_code == 503
            assert int(again.headers["Retry-After"]) > 0
            assert "about to stop" in again.json()["error"]
            submit = server.client.post("/api/v1/execute/async/desk.double", json={"input": {"number": 2}})
            assert submit.status_code == 503
            assert int(submit.headers["Retry-After"]) > 0
            assert server.client.get("/health").status_code == 200
            ready = server.client.get("/ready")
            assert ready.status_code == 503
            parts = ready.json()["parts"]
            assert "about to stop" in parts.pop("admission")
            assert set(parts.values()) == {"ok"}

            server.client.post(f"{session}/input", json={"text": "are you there?"})
            while not isinstance(media.recv(20), bytes):
                pass  # the call goes on, with the reasoners that it needs
            held.close()
            assert server.finished(execution)["status"] == "succeeded"
            assert server.process.poll() is None
        code, _, _ = server.ended()
    assert code == 0
    assert why_it_ended(tmp_path, session) == "caller_gone"
    kinds = {record.kind for record in asyncio.run(records_of(tmp_path, session))}
    assert "execution_succeeded" in kinds
    assert "turn_failed" not in kinds


def test_calls_that_do_not_end_in_time_are_ended(tmp_path: Path) -> None:
    with watched(tmp_path, AGENTFIELD_RT_DRAIN_S="0.2") as server:
        session = server.start()
        with server.call(session):
            assert "up to 0.2 s for 1 call" in told_to_stop(server)
            code, _, _ = server.ended()
    assert code == 0
    assert why_it_ended(tmp_path, session) == "shutdown"


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with watched(tmp_path, AGENTFIELD_RT_DRAIN_S="3600") as server:
        session = server.start()
        with server.call(session):
            assert "1 call" in told_to_stop(server)
            server.signal(signal.SIGTERM)
            code, _, _ = server.ended()
    assert code == 0
    assert why_it_ended(tmp_path, session) == "shutdown"


def test_a_server_with_nothing_to_wait_for_stops_at_once_and_says_nothing(tmp_path: Path) -> None:
    with watched(tmp_path) as server:
        assert server.client.get("/ready").json() == {
            "ready": True,
            "parts": dict.fromkeys(("journal", "content", "provider", "admission"), "ok"),
        }
        began = time.monotonic()
        assert "waiting" not in told_to_stop(server)
        assert server.ended()[0] == 0
        assert time.monotonic() - began < 10
