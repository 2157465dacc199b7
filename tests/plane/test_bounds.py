"""Nothing grows without end and nobody is waited for without end: callers, readers, bodies, executions."""

import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from agentfield_journal import StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.frames import (
    InputTranscript,
    OutputAudio,
    ProviderEvent,
    ResponseStarted,
)
from agentfield_rt.plane.calls import media as media
from agentfield_rt.plane.executions import admission
from agentfield_rt.plane.http import guards as guards
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.server import UNREAD_MAX_S, listen
from agentfield_rt.plane.sessions import conversation_routes as http_conversations
from agentfield_rt.voice import conversation, heard
from agentfield_rt.voice.heard import HeardText
from agentfield_rt.voice.live import LiveEvent
from tests.plane.serving import Served, served
from tests.plane.test_media import close_reason_of
from tests.voice.call import voice_call

AUDIO = OutputAudio("resp_long", "item", bytes(960))


@pytest.fixture
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Served]:
    """A server whose sockets hold next to nothing."""

    def listen_narrowly(host: str, port: int) -> socket.socket:
        listening = listen(host, port)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # it would help after half a minute
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        return listening

    monkeypatch.setattr("agentfield_rt.plane.server.listen", listen_narrowly)
    monkeypatch.setattr(media, "SEND_MAX_S", 0.2)
    monkeypatch.setattr(media, "CLOSE_MAX_S", 0.2)
    with served(tmp_path / "data", monkeypatch) as server:
        yield server


def test_a_caller_who_takes_nothing_any_more_is_hung_up_on(narrow: Served) -> None:
    session_id = narrow.start()
    with deaf_caller(narrow, session_id):
        long: list[ProviderEvent] = [ResponseStarted("resp_long"), *[AUDIO] * 500]
        narrow.loop.call_soon_threadsafe(lambda: narrow.adapters[-1].give(*long))
        assert close_reason_of(narrow, session_id) == "caller_gone"


@contextmanager
def deaf_caller(server: Served, session_id: str) -> Generator[None]:
    """A caller on the media socket who reads nothing but that it is connected."""
    address = httpx.URL(server.url)
    head = (
        f"GET /api/v1/session-instances/{session_id}/media HTTP/1.1",
        f"Host: {address.netloc.decode()}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        caller.settimeout(10)
        caller.connect((address.host, address.port))
        caller.sendall("\r\n".join([*head, "", ""]).encode())
        got = b""
        while b"ready" not in got:
            got += caller.recv(1)
        yield


def test_a_peer_that_takes_nothing_is_given_up_by_the_kernel() -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this system has no TCP_USER_TIMEOUT")
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            limit_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert limit_ms == UNREAD_MAX_S * 1000


def test_so_many_executions_run_at_once_and_no_more(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "OPEN_MAX", 2)
    for _ in range(2):
        assert server.post("/api/v1/execute/async/desk.waits", {"input": {}}).status_code == 202
    refused = server.post("/api/v1/execute/async/desk.double", {"input": {"number": 1}})
    assert (refused.status_code, "which is the limit" in refused.json()["error"]) == (503, True)
    monkeypatch.setattr(admission, "OPEN_MAX", 5)
    assert server.execute("desk.double", number=2)["result"] == 4


def test_so_many_readers_follow_a_session_and_no_more(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_conversations, "READERS_MAX", 2)
    session_id = server.start()
    with ExitStack() as reading:
        readers = [iter(reading.enter_context(server.events(session_id))) for _ in range(2)]
        assert [next(reader)[0] for reader in readers] == ["record", "record"]
        refused = server.get(f"/api/v1/session-instances/{session_id}/events")
        assert (refused.status_code, "which is the limit" in refused.json()["error"]) == (503, True)
    server.post(f"/api/v1/session-instances/{session_id}/close")


def test_a_body_that_does_not_come_is_not_waited_for(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "BODY_MAX_S", 0.1)
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=10) as slow:
        head = "POST /api/v1/execute/async/desk.double HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9"
        slow.sendall(f"{head}\r\n\r\n{{".encode())
        answer = slow.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert server.execute("desk.double", number=3)["result"] == 6


@pytest.mark.asyncio
async def test_runs_are_noted_only_for_whoever_signs_them() -> None:
    journal = StoreJournal(MemoryStore())
    runs = Runs(journal)
    for number in range(20):
        await runs.hold(f"run_{number}")
        await runs.let_go(f"run_{number}")
    assert runs.take_written() == []
    await runs.hold("run_20")
    assert runs.take_written() == ["run_20"]
    await runs.let_go("run_20")
    assert runs.take_written() == ["run_20"]
    assert runs.take_written() == []
    await journal.close()


def test_the_text_of_an_utterance_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard, "CHARACTERS_MAX", 10)
    text = HeardText()
    for _ in range(100):
        text.append("word", audio_ms=0)
    assert text.whole == "wordwordwo"


@pytest.mark.asyncio
async def test_what_is_shown_of_a_turn_while_it_is_said_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PARTIAL_CHARACTERS_MAX", 8)
    shown: list[LiveEvent] = []
    async with voice_call() as call:
        monkeypatch.setattr(call.session.live, "publish", shown.append)
        call.adapter.give(*(InputTranscript("item", "word", final=False) for _ in range(50)))
        await call.settle()
    partial = [event["text"] for event in shown if event["type"] == "partial"]
    assert (len(partial), partial[-1]) == (50, "wordword")
