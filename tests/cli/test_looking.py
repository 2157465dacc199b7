"""`af session list|show|watch|replay|close`, `af run`, `af node` and `af execute` against a real server."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import msgspec
import pytest
from rich.console import Console

from agentfield_rt.cli import printing
from tests.cli.conftest import AF, Ran, af, environment, press_ctrl_c, start_af

TARGET = "voice-support.voice"


@pytest.fixture
def served(server: tuple[str, Path]) -> Any:
    """Runs `af …` against the server."""

    def run(*arguments: str) -> Ran:
        return af(*arguments, AGENTFIELD_SERVER=server[0])

    return run


@pytest.fixture(scope="module")
def ended(server: tuple[str, Path]) -> str:
    """A session in which a tool ran, and that was closed."""

    def ask(*arguments: str) -> Any:
        return af("session", *arguments, AGENTFIELD_SERVER=server[0]).json

    session_id: str = ask("start", TARGET)["session_id"]
    ask("tool", session_id, "lookup_order", "--in", '{"number": 8}')
    assert ask("close", session_id, "--reason", "cancel")["status"] == "closed"
    return session_id


def test_sessions_are_listed_shown_and_filtered(served: Any, ended: str) -> None:
    assert ended in served("session", "list", "--status", "ended").out
    assert ended not in served("session", "list", "--status", "live").out
    listed = served("session", "list", "--target", TARGET, "--json").json["sessions"]
    assert ended in [each["session_id"] for each in listed]
    shown = served("session", "show", ended, "--json").json
    assert (shown["status"], shown["close_reason"]) == ("ended", "cancel")
    assert TARGET in served("session", "show", ended).out


def test_a_past_session_is_replayed_and_watched_from_its_beginning(served: Any, ended: str) -> None:
    replayed = [
        msgspec.json.decode(line) for line in served("session", "replay", ended, "--json").out.splitlines()
    ]
    assert [record["seq"] for record in replayed] == list(range(1, len(replayed) + 1))
    assert replayed[0]["kind"] == "session_started"
    assert {"execution_queued", "execution_succeeded"} <= {record["kind"] for record in replayed}
    told = served("session", "watch", ended)
    assert told.code == 0
    assert "session_started" in told.out.splitlines()[0]
    assert told.err == ""


def test_a_session_is_watched_while_it_goes_on(served: Any, server: tuple[str, Path]) -> None:
    session_id = served("session", "start", TARGET).json["session_id"]
    with subprocess.Popen(
        [*AF, "session", "watch", session_id, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(AGENTFIELD_SERVER=server[0]),
    ) as watching:
        assert watching.stdout is not None
        assert msgspec.json.decode(watching.stdout.readline())["data"]["kind"] == "session_started"
        served("session", "close", session_id)
        rest = [msgspec.json.decode(line) for line in watching.stdout]
        assert watching.wait(20) == 0
    assert "session_ended" in [each["data"].get("kind") for each in rest]


def test_ctrl_c_ends_the_watching_and_not_the_session(served: Any, server: tuple[str, Path]) -> None:
    session_id = served("session", "start", TARGET).json["session_id"]
    watching = subprocess.Popen(
        [*AF, "session", "watch", session_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(AGENTFIELD_SERVER=server[0]),
    )
    assert watching.stdout is not None
    assert watching.stdout.readline()
    os.kill(watching.pid, signal.SIGINT)
    _, complaint = watching.communicate(timeout=20)
    assert (watching.returncode, complaint) == (130, "")
    assert served("session", "show", session_id, "--json").json["status"] == "live"


@pytest.mark.asyncio
async def test_watching_goes_on_where_the_connection_broke() -> None:
    """A server that breaks the stream after a record has to be asked for the rest, and only for that."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(request.split()[1].partition("?")[2])
        seq = len(asked)
        record: dict[str, Any] = {
            "seq": seq,
            "kind": "turn_completed",
            "at_ms": 1.0,
            "op_id": "t",
            "data": {},
        }
        body = f"event: record\nid: {seq}\ndata: {msgspec.json.encode(record).decode()}\n\n"
        if seq == 2:
            body += "event: end\ndata: {}\n\n"
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(f"{head}{len(body):x}\r\n{body}\r\n".encode())
        await writer.drain()
        writer.close()  # with no last chunk: it broke

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ran = await asyncio.to_thread(af, "session", "watch", "sess_1", "--json", AGENTFIELD_SERVER=url)
    assert ran.code == 0
    assert [msgspec.json.decode(line)["data"]["seq"] for line in ran.out.splitlines()] == [1, 2]
    assert asked == ["after=0", "after=1"]


def test_an_unknown_session_is_the_user_s_fault(served: Any) -> None:
    for command in ("watch", "replay"):
        ran = served("session", command, "sess_nobody")
        assert ran.code == 2
        assert f"session {command} failed with status 404" in ran.complaint


def test_a_reasoner_is_executed_and_its_result_printed(served: Any) -> None:
    ran = served("execute", "voice-support.lookup_order", "--in", '{"number": 8}')
    assert (ran.code, ran.json) == (0, "stuck in customs")
    status = served("execute", "voice-support.lookup_order", "--in", '{"number": 8}', "--json").json
    assert (status["status"], status["result"]) == ("succeeded", "stuck in customs")
    accepted = served("execute", "voice-support.lookup_order", "--in", '{"number": 8}', "--no-wait").json
    assert accepted["status"] == "queued"


def test_the_same_key_executes_once(served: Any) -> None:
    once = ("execute", "voice-support.lookup_order", "--in", '{"number": 8}', "--idempotency-key", "k1")
    first, again = (served(*once, "--no-wait").json["execution_id"] for _ in range(2))
    assert first == again


def test_an_execution_that_fails_says_why(served: Any) -> None:
    refused = served("execute", "voice-support.nothing", "--in", "{}")
    assert refused.code == 2
    assert "target 'nothing' not found on agent 'voice-support'" in refused.complaint
    failed = served("execute", "voice-support.lookup_order", "--in", "{}")
    assert failed.code == 2
    assert "number: missing" in failed.complaint


def test_whoever_waits_for_an_agent_that_is_away_is_told_so(server: tuple[str, Path]) -> None:
    agent = {"id": "away", "base_url": "http://127.0.0.1:9", "reasoners": [{"id": "greet"}]}
    httpx.post(f"{server[0]}/api/v1/nodes/register", json=agent).raise_for_status()
    httpx.post(f"{server[0]}/api/v1/nodes/away/shutdown").raise_for_status()
    with start_af("execute", "away.greet", "--server", server[0]) as process:
        assert process.stderr is not None
        told = process.stderr.readline()
        ran = press_ctrl_c(process)
    httpx.delete(f"{server[0]}/api/v1/nodes/away").raise_for_status()
    assert told.startswith("away is offline: this waits until it is back")
    assert ran.code == 130


@pytest.mark.asyncio
async def test_a_server_that_is_no_control_plane_is_named_as_such() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n" + answers.pop()
        )
        await writer.drain()
        writer.close()

    answers = [b"[]", b"{}"]
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for _ in range(2):
            ran = await asyncio.to_thread(af, "session", "list", AGENTFIELD_SERVER=url)
            assert (ran.code, "is a control plane at this address?" in ran.complaint) == (3, True)


@pytest.mark.asyncio
async def test_whoever_shows_no_key_is_told_where_to_put_one() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 24\r\n\r\n{"error":"unauthorized"}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ran = await asyncio.to_thread(af, "session", "list", AGENTFIELD_SERVER=url)
    assert ran.code == 3
    assert ran.complaint.endswith('{"error":"unauthorized"}; give a key with --api-key or AGENTFIELD_API_KEY')


def test_an_id_that_is_empty_is_not_asked_for() -> None:
    ran = af("session", "show", "")
    assert (ran.code, ran.complaint) == (2, "af: an id or a target is missing: it is empty")


def test_a_workflow_is_a_tree(served: Any, ended: str) -> None:
    tree = served("run", "show", ended)
    assert tree.code == 0
    session, tool = tree.out.splitlines()[1:3]
    assert "voice-support.voice" in session
    assert "voice-support.lookup_order" in tool
    assert tool.index("voice-support") > session.index("voice-support")
    run_id = served("run", "show", ended, "--json").json["root_workflow_id"]
    assert run_id in served("run", "list").out
    missing = served("run", "show", "run_nobody")
    assert (missing.code, "workflow not found" in missing.complaint) == (2, True)


def test_nodes_are_listed_with_what_they_offer(served: Any) -> None:
    listed = served("node", "list")
    assert "voice-support" in listed.out
    assert "lookup_order" in listed.out
    (node,) = served("node", "list", "--json").json["nodes"]
    assert node["id"] == "voice-support"


def _offered(line: str, server: str) -> list[str]:
    """What bash would offer for the last word of `line`; it asks the command that is installed."""
    asked = {"_AF_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = subprocess.run(
        [Path(sys.executable).with_name("af")],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(AGENTFIELD_SERVER=server, **asked),
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shell_is_offered_what_the_server_has(server: tuple[str, Path], ended: str) -> None:
    assert _offered("af session start voice-s", server[0]) == [TARGET, f"{TARGET}-websocket"]
    assert ended in _offered("af session show sess_", server[0])
    assert _offered("af execute voice-support.look", server[0]) == ["voice-support.lookup_order"]


def test_the_shell_asks_the_server_that_the_line_names(server: tuple[str, Path], ended: str) -> None:
    nowhere = "http://127.0.0.1:1"
    assert ended in _offered(f"af session show --server {server[0]} sess_", nowhere)
    assert _offered(f"af session show --server {nowhere} sess_", server[0]) == []


def test_the_shell_is_offered_runs_and_the_tools_of_a_session(server: tuple[str, Path], ended: str) -> None:
    run_id = ended.replace("sess_", "run_")
    assert run_id in _offered("af run show run_", server[0])
    assert run_id in _offered(f"af journal show --data {server[1]} run_", server[0])
    tools = _offered(f"af session tool {ended} voice-support.look", server[0])
    assert tools == ["voice-support.lookup_order"]


def test_a_narrow_terminal_is_shown_ids_and_names_whole(served: Any, ended: str) -> None:
    with mock.patch.object(printing, "stdout", lambda: Console(highlight=False, width=40)):
        listed = served("session", "list").out
    assert ended in listed
    assert "…" not in listed


def test_the_server_may_be_named_before_the_command_as_agentfield_s_can(server: tuple[str, Path]) -> None:
    assert "voice-support" in af("--server", server[0], "node", "list").out
    assert af("--server", server[0], "node", "list", "--server", "http://127.0.0.1:1").code == 3


def test_the_shell_is_offered_nothing_where_no_server_is() -> None:
    assert _offered("af session start x", "http://127.0.0.1:1") == []
