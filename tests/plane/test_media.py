"""Audio over the media socket: 16 kHz up, 24 kHz down, and every way it may end."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import AudioFrame, TurnEndFrame
from agentfield_rt.plane.calls import media as calls_media
from agentfield_rt.ports import Connection, ConnectRequest
from tests.media.tones import tone
from tests.plane.serving import OFFER, AnsweringAdapter, Served, served

PIECE_20_MS = bytes(640)


@contextmanager
def media(server: Served, session_id: str) -> Generator[ClientConnection]:
    url = server.url.replace("http", "ws", 1)
    with connect(f"{url}/api/v1/session-instances/{session_id}/media") as socket:
        yield socket


def ready(socket: ClientConnection) -> None:
    assert json.loads(socket.recv(10)) == {"type": "ready"}


def close_code(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            socket.recv(10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def close_reason_of(server: Served, session_id: str) -> str | None:
    """Why a session ended, once it has."""
    with server.events(session_id) as events:
        assert events.kinds()[-1][1] == "session_ended"
    reason: str | None = server.get(f"/api/v1/session-instances/{session_id}").json()["close_reason"]
    return reason


def test_audio_goes_up_resampled_in_whole_frames_and_the_answer_comes_down(server: Served) -> None:
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        for _ in range(10):
            socket.send(PIECE_20_MS)
        for odd in (1, 321, 639, 999):
            socket.send(bytes(odd))
        server.post(f"/api/v1/session-instances/{session_id}/input", {"text": "hello"})
        heard = socket.recv(10)
        assert isinstance(heard, bytes)
        assert len(heard) == 960
    adapter = server.adapters[-1]
    sizes = {len(frame.pcm) for frame in adapter.sent if isinstance(frame, AudioFrame)}
    assert sizes == {960}


def test_digits_that_are_dialled_as_tones_are_heard_once_each(server: Served) -> None:
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        for digit in "42#":
            socket.send(tone(digit, duration_ms=80, rate_hz=16_000).tobytes())
            socket.send(bytes(2 * 16_000 // 10))
        with server.events(session_id) as events:
            for _ in "42#":
                assert events.kinds(until="caller_digit_received")[-1][1] == "caller_digit_received"
    with server.events(session_id) as events:
        assert [kind for _, kind in events.kinds()].count("caller_digit_received") == len("42#")


def test_closing_the_socket_ends_the_session(server: Served) -> None:
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
    assert close_reason_of(server, session_id) == "caller_gone"


def test_a_session_that_ends_closes_the_socket_even_of_a_silent_caller(server: Served) -> None:
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        server.post(f"/api/v1/session-instances/{session_id}/close")
        assert close_code(socket) == 1000


def test_a_caller_who_lets_go_of_the_button_ends_a_turn_with_its_last_sound(server: Served) -> None:
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        socket.send(PIECE_20_MS)
        socket.send('{"type":  "end_turn"}')
    assert close_reason_of(server, session_id) == "caller_gone"
    audio, end = server.adapters[-1].sent
    assert isinstance(audio, AudioFrame) and len(audio.pcm) == 960
    assert isinstance(end, TurnEndFrame)


def test_sound_that_comes_faster_than_time_passes_ends_the_socket(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_media, "AHEAD_MAX_S", 1.0)
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        with contextlib.suppress(ConnectionClosed):  # it ends while it is sent to
            for _ in range(100):
                socket.send(bytes(32_000))
        assert close_code(socket) == 4400
    assert close_reason_of(server, session_id) == "caller_gone"


@pytest.mark.parametrize(
    "message", ["text", '{"type": "hello"}', '{"type": "end_turn", "x": 1}', "[" * 9_000]
)
def test_text_on_the_media_socket_ends_it_with_a_reason(server: Served, message: str) -> None:
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        socket.send(message)
        assert close_code(socket) == 4400
    assert close_reason_of(server, session_id) == "caller_gone"


def test_too_large_a_message_ends_the_socket(server: Served) -> None:
    session_id = server.start()
    with media(server, session_id) as socket:
        ready(socket)
        socket.send(bytes(32_002))
        assert close_code(socket) == 4400


@pytest.mark.parametrize("what", ["unknown", "webrtc", "taken", "over"])
def test_a_socket_that_cannot_be_served_says_why_and_closes(server: Served, what: str) -> None:
    session_id = {"unknown": "sess_nobody", "webrtc": ""}.get(what) or server.start()
    if what == "webrtc":
        session_id = server.start("desk.page")
    if what == "over":
        server.post(f"/api/v1/session-instances/{session_id}/close")
    with media(server, session_id) as first:
        if what == "taken":
            ready(first)
        with media(server, session_id) as socket:
            assert json.loads(socket.recv(10))["type"] == "error"
            assert close_code(socket) == 4400
        if what == "taken":
            server.post(f"/api/v1/session-instances/{session_id}/input", {"text": "still there"})
            assert isinstance(first.recv(10), bytes)


def test_an_offer_does_not_open_the_media_socket_of_a_webrtc_session(server: Served) -> None:
    session_id = server.start("desk.page")
    server.client.post(f"/api/v1/session-instances/{session_id}/realtime-offer", content=OFFER)
    with media(server, session_id) as socket:
        assert "send an SDP offer instead" in json.loads(socket.recv(10))["message"]
    assert server.get(f"/api/v1/session-instances/{session_id}").json()["phase"] == "open"


def test_a_page_of_another_origin_cannot_open_the_media_socket(server: Served) -> None:
    session_id = server.start()
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/session-instances/{session_id}/media"
    evil = Origin("https://evil.example")
    with pytest.raises(InvalidStatus, match="HTTP 403"), connect(url, origin=evil):
        pass
    assert server.get(f"/api/v1/session-instances/{session_id}").json()["phase"] == "idle"


def test_a_caller_who_leaves_before_the_refusal_is_no_failure_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    is_asked, is_gone = threading.Event(), threading.Event()

    async def fail_later(self: AnsweringAdapter, request: ConnectRequest) -> Connection:
        is_asked.set()
        await asyncio.to_thread(is_gone.wait, 10)
        raise ProviderError("the provider does not answer", reason=Reason.TIMEOUT)

    monkeypatch.setattr(AnsweringAdapter, "connect", fail_later)
    with served(tmp_path, monkeypatch) as server:
        session_id = server.start()
        with media(server, session_id):
            assert is_asked.wait(10)
        is_gone.set()
        with server.events(session_id) as events:
            assert events.kinds(until="realtime_connect_failed")
    assert "Traceback" not in capfd.readouterr().err


def test_a_turn_that_is_typed_before_the_offer_is_refused_with_what_would_work(server: Served) -> None:
    session_id = server.start("desk.page")
    refused = server.post(f"/api/v1/session-instances/{session_id}/input", {"text": "hello"})
    assert refused.status_code == 409
    assert "SDP offer goes to its offer_url first" in refused.json()["error"]
