"""A real browser and a real plane that ends its media: keys arrive once, and its own figures add up."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.frames import AudioFrame
from agentfield_rt.plane.sessions import lifetimes
from tests.page.pages import Pages, facts, press_call, until
from tests.plane.serving import Served, served

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEEP_CONNECTION = """
    const Original = RTCPeerConnection;
    window.RTCPeerConnection = class extends Original {
        constructor(configuration) { super(configuration); window.connection = this; }
    };"""
STATS = """async () => {
    for (;;) {
        const found = {};
        for (const one of (await window.connection.getStats()).values()) found[one.type] = one;
        const heard = found["remote-inbound-rtp"];
        if (heard?.roundTripTime !== undefined && found["remote-outbound-rtp"]) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}"""
"""Once each side has told the other what it received and sent (RFC 3550, section 6.4)."""

DIGITS = "1234*#0"
KEY = "a key of sixteen letters or more"


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[tuple[Served, asyncio.Queue[str]]]:
    """A plane whose agent listens to keys, and the keys."""
    dialled: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    app = Agent("keys")

    @app.session("phone", provider="local", transport="websocket")
    async def listens(session: RealtimeSession) -> None:
        async for digit in session.digits():
            loop.call_soon_threadsafe(dialled.put_nowait, digit)

    @app.session("greeter", provider="local", transport="websocket")
    async def greets(session: RealtimeSession) -> None:
        async for turn in session.turns():
            await session.say(turn.text)

    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch, agents=[app]) as server:
        yield server, dialled


async def test_keys_pressed_in_a_browser_are_digits_and_its_statistics_are_sound(
    browser: Browser, server: tuple[Served, asyncio.Queue[str]]
) -> None:
    plane, dialled = server
    async with Pages(browser, plane.url) as pages:
        page = await pages.open("?target=keys.phone", script=KEEP_CONNECTION)
        await press_call(page)
        await until(page, "state.call === 'in_call'")
        assert await facts(page, "state.path") == "webrtc"
        await page.evaluate(
            "(keys) => window.connection.getSenders()[0].dtmf.insertDTMF(keys, 100, 70)", DIGITS
        )
        async with asyncio.timeout(15):
            assert [await dialled.get() for _ in DIGITS] == list(DIGITS)
        stats: dict[str, Any] = await page.evaluate(STATS)
        await page.get_by_role("button", name="Hang up").click()
        await until(page, "state.call === 'ended'")
    assert stats["inbound-rtp"]["packetsLost"] == 0
    assert stats["inbound-rtp"]["packetsReceived"] > 50
    assert stats["remote-outbound-rtp"]["packetsSent"] >= stats["inbound-rtp"]["packetsReceived"] - 120
    assert stats["remote-inbound-rtp"]["packetsLost"] == 0
    assert stats["remote-inbound-rtp"]["roundTripTime"] < 1
    assert sum(isinstance(frame, AudioFrame) for frame in plane.adapters[-1].sent) > 50
    assert dialled.empty()


async def test_a_browser_whose_addresses_nobody_can_look_up_is_connected_all_the_same(
    browser: Browser, server: tuple[Served, asyncio.Queue[str]]
) -> None:
    plane, _ = server
    async with Pages(browser, plane.url) as pages:
        page = await pages.open("?target=keys.greeter", microphone=False, script=KEEP_CONNECTION)
        await page.get_by_label("Type instead of talking").fill("hello")
        await page.keyboard.press("Enter")
        await until(page, "turns[0]?.utterances[0]?.status === 'played'")
        assert await facts(page, "state.path") == "webrtc"
        offer: str = await page.evaluate("() => window.connection.localDescription.sdp")
    assert ".local " in offer
    assert "a=recvonly" in offer


@pytest_asyncio.fixture(loop_scope="session")
async def keyed(tmp_path: Path) -> AsyncIterator[Served]:
    """A plane that lets nobody in without its key, and ends no session because its caller's events stop."""
    app = Agent("keys")

    @app.session("greeter", provider="local", transport="websocket")
    async def greets(session: RealtimeSession) -> None:
        await session.input()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifetimes, "CALLER_GRACE_S", 1_000)
        with served(tmp_path, patch, agents=[app], api_keys={"web": KEY}) as plane:
            plane.client.headers["X-API-Key"] = KEY
            yield plane


async def test_a_page_asks_for_the_key_that_a_server_needs_and_calls_with_it(
    browser: Browser, keyed: Served
) -> None:
    async with Pages(browser, keyed.url) as pages:
        page = await pages.open("?target=keys.greeter")
        alert, call = page.get_by_role("alert"), page.get_by_role("button", name="Call", exact=True)
        await expect(alert).to_contain_text("This server needs a key.")
        await expect(alert).to_contain_text("#api_key=…")
        await expect(page.get_by_role("status")).to_have_text("No call")
        await expect(call).to_be_disabled()
        await page.evaluate("location.hash = 'api_key=another'")
        await expect(alert).to_contain_text("The server does not know this key.")
        await expect(call).to_be_disabled()
        await page.evaluate("(key) => { location.hash = 'api_key=' + key }", quote(KEY))
        await press_call(page)
        await until(page, "state.call === 'in_call'")


async def test_a_page_with_a_key_draws_the_call_and_closes_the_next_one_when_it_is_left(
    browser: Browser, keyed: Served
) -> None:
    async with Pages(browser, keyed.url) as pages:
        page = await pages.open(f"?target=keys.greeter&path=websocket#api_key={quote(KEY)}")
        await press_call(page)
        await until(page, "state.call === 'in_call'")
        await page.get_by_role("button", name="Hang up").click()
        await until(page, "state.verify?.ok")
        await page.wait_for_function("() => document.querySelector('.timeline img')?.naturalWidth > 0")
        await page.get_by_role("button", name="Call again").click()
        await until(page, "state.call === 'in_call'")
        session_id = await facts(page, "state.session_id")
        await page.goto("about:blank")
        assert await asyncio.to_thread(_close_reason, keyed, session_id) == "caller_gone"


def _close_reason(plane: Served, session_id: str) -> str:
    """How a session ended, once it has."""
    with plane.events(session_id) as events:
        [ended] = [data for _, _, data in events if '"session_ended"' in data]
    return str(json.loads(ended)["data"]["reason"])
