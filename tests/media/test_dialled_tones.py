"""A caller over WebRTC dials by tone where nothing else was agreed upon, and is heard once where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from agentfield_rt import Agent, RealtimeSession
from tests.media.tones import tone
from tests.media.web_caller import RATE_HZ, WebCaller, web_caller
from tests.plane.serving import Served, served

FRAME_BYTES = RATE_HZ // 50 * 2
DIALLED: SimpleQueue[str] = SimpleQueue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    app = Agent("keys")

    @app.session("phone", provider="local", transport="websocket")
    async def listens(session: RealtimeSession) -> None:
        async for digit in session.digits():
            DIALLED.put(digit)

    with (
        pytest.MonkeyPatch.context() as patch,
        served(tmp_path_factory.mktemp("data"), patch, agents=[app]) as server,
    ):
        yield server


def dialled(digits: str) -> list[bytes]:
    """Tones and pauses, in frames."""
    pcm = b"".join(
        tone(digit, duration_ms=100, rate_hz=RATE_HZ).astype("<i2").tobytes() + bytes(FRAME_BYTES * 5)
        for digit in digits
    )
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


async def call(server: Served, caller: WebCaller, *, has_events: bool) -> None:
    session_id = server.start("keys.phone")
    offer = await caller.offer()
    if not has_events:
        offer = caller.connection.localDescription.sdp
    path = f"/api/v1/session-instances/{session_id}/media-offer"
    answer = await asyncio.to_thread(server.client.post, path, content=offer)
    assert answer.status_code == 200, answer.text
    await caller.accept(answer.text)


async def heard(digits: int) -> str:
    return "".join([await asyncio.to_thread(DIALLED.get, timeout=10) for _ in range(digits)])


@pytest.mark.asyncio
async def test_tones_are_heard_where_a_caller_offers_no_other_way(server: Served) -> None:
    async with web_caller() as caller:
        await call(server, caller, has_events=False)
        await caller.say(dialled("4711#"))
        assert await heard(5) == "4711#"


@pytest.mark.asyncio
async def test_a_key_that_comes_as_a_message_and_as_a_tone_counts_once(server: Served) -> None:
    async with web_caller() as caller:
        await call(server, caller, has_events=True)
        for digit in "47":
            await caller.press(digit)
            await caller.say(dialled(digit))
        await caller.press("#")
        assert await heard(3) == "47#"
    assert DIALLED.empty()
