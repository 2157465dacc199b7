"""What a caller gives over HTTP besides words, and what a session is told to have cost."""

import asyncio
import base64
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.frames import (
    ImageFrame,
    RateLimit,
    RateLimitsReported,
    TextFrame,
    TurnEndFrame,
    Usage,
    UsageReported,
)
from agentfield_rt.voice import turns
from tests.plane.serving import Served, served

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
PICTURE = {"data": base64.b64encode(PNG).decode(), "detail": "low"}


def given(server: Served, body: dict[str, Any]) -> tuple[str, Any]:
    """The session's id, and the answer."""
    session_id = server.start()
    return session_id, server.post(f"/api/v1/session-instances/{session_id}/input", body)


def test_a_picture_a_text_and_the_end_of_a_turn_go_out_in_this_order(server: Served) -> None:
    session_id, answer = given(server, {"end_turn": True, "text": "what is this?", "image": PICTURE})
    assert answer.status_code == 202
    taken = answer.json()
    assert taken.keys() == {"image_id", "turn_id"}
    frames = [frame for frame in server.adapters[-1].sent if not hasattr(frame, "utterance_id")]
    assert [type(frame) for frame in frames] == [ImageFrame, TextFrame, TurnEndFrame]
    assert frames[0] == ImageFrame(taken["image_id"], PNG, "image/png", "low")
    server.post(f"/api/v1/session-instances/{session_id}/close")
    with server.events(session_id) as events:
        shown = next(data for _, _, data in events if '"image_received"' in data)
    assert '"content":' not in shown, "what is no text stays behind its reference"


def test_a_picture_alone_is_no_turn(server: Served) -> None:
    _, answer = given(server, {"image": PICTURE})
    assert answer.json().keys() == {"image_id"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({}, 400, id="nothing"),
        pytest.param({"text": None, "end_turn": False}, 400, id="nothing at all"),
        pytest.param({"image": {"data": "no base64"}}, 400, id="no base64"),
        pytest.param({"image": {"data": PICTURE["data"], "detail": "much"}}, 400, id="no such detail"),
        pytest.param({"image": {**PICTURE, "url": "file:///etc/passwd"}}, 400, id="an address"),
        pytest.param({"image": {"data": base64.b64encode(b"GIF89a").decode()}}, 400, id="no picture"),
        pytest.param({"image": {"data": "A" * 300_000}}, 413, id="too large a body"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: Served, body: dict[str, Any], status: int) -> None:
    _, answer = given(server, body)
    assert answer.status_code == status, answer.text
    assert "error" in answer.json()


@pytest.mark.asyncio
async def test_turns_typed_at_once_into_a_session_that_nobody_connected_are_all_taken(server: Served) -> None:
    path = f"/api/v1/session-instances/{server.start()}/input"
    async with httpx.AsyncClient(base_url=server.url) as client:
        answers = await asyncio.gather(*(client.post(path, json={"text": "hello"}) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [202] * 5


def test_a_turn_that_could_not_be_kept_for_the_handler_is_refused_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, asked = Agent("slow"), threading.Event()

    @app.session("phone", provider="local", transport="websocket")
    async def reads_at_last(session: RealtimeSession) -> None:
        await asyncio.to_thread(asked.wait)
        async for turn in session.turns():
            await session.say(turn.text)

    monkeypatch.setattr(turns, "WAITING_MAX", 2)
    with served(tmp_path, monkeypatch, agents=[app]) as server:
        session_id = server.start("slow.phone")
        path = f"/api/v1/session-instances/{session_id}/input"
        assert [server.post(path, {"text": text}).status_code for text in ("one", "two")] == [202, 202]
        refused = server.post(path, {"text": "three"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        asked.set()
        with server.events(session_id) as events:
            events.kinds(until="utterance_played")
        assert server.post(path, {"text": "three"}).status_code == 202
        server.post(f"/api/v1/session-instances/{session_id}/close")
        with server.events(session_id) as events:
            assert [kind for _, kind in events.kinds()].count("turn_started") == 3


def test_a_session_says_what_it_has_cost(server: Served) -> None:
    session_id, _ = given(server, {"text": "hello"})
    adapter = server.adapters[-1]
    usage, limit = Usage(input_tokens=7, output_audio_tokens=3), RateLimit("tokens", 100, 93, 0.5)

    def report() -> None:
        adapter.give(UsageReported(usage, "resp_1"), RateLimitsReported((limit,)))

    server.loop.call_soon_threadsafe(report)
    with server.events(session_id) as events:
        events.kinds(until="usage_recorded")
    shown = server.get(f"/api/v1/session-instances/{session_id}").json()
    assert (shown["usage"]["input_tokens"], shown["usage"]["output_audio_tokens"]) == (7, 3)
    assert shown["rate_limits"] in ([], [{"name": "tokens", "limit": 100, "remaining": 93, "reset_s": 0.5}])
