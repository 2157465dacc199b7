"""A call over WebRTC whose media the plane ends, and the websocket that steps in where that cannot be."""

from typing import Any

import pytest

from tests.page.fake_plane import FakePlane
from tests.page.pages import Pages, facts, press_call, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = "?target=voice-support.voice-websocket"
NO_ADDRESS = """
    const description = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, "localDescription");
    Object.defineProperty(RTCPeerConnection.prototype, "localDescription", { get() {
        const own = description.get.call(this);
        return own && { type: own.type, sdp: own.sdp.replace(/a=candidate:.*\\r\\n/g, "") };
    } });
"""


async def begin(pages: Pages, query: str = PHONE, **more: Any) -> Any:
    page = await pages.open(query, **more)
    await press_call(page)
    await until(page, "state.call === 'in_call'")
    return page


async def test_a_session_behind_a_socket_is_called_over_webrtc_without_a_data_channel(
    pages: Pages, plane: FakePlane
) -> None:
    plane.takes_media_offers = True
    page = await begin(pages)
    session = await plane.session()
    assert await facts(page, "state.path") == "webrtc"
    (offer,) = session.offers
    assert "m=audio" in offer
    assert "m=application" not in offer
    await page.wait_for_function("() => document.querySelector('#agent-audio').srcObject?.active")


async def test_the_servers_of_the_settings_reach_the_browser_s_connection(
    pages: Pages, plane: FakePlane
) -> None:
    plane.takes_media_offers = True
    plane.ice = {
        "ice_servers": [{"urls": ["turn:127.0.0.1:9"], "username": "17:me", "credential": "x"}],
        "ice_transport_policy": "all",
    }
    spy = """window.made = [];
        const Original = RTCPeerConnection;
        window.RTCPeerConnection = class extends Original {
            constructor(configuration) { super(configuration); window.made.push(configuration); }
        };"""
    page = await begin(pages, script=spy)
    assert await page.evaluate("() => window.made") == [
        {"iceServers": plane.ice["ice_servers"], "iceTransportPolicy": "all"}
    ]


async def test_a_browser_without_an_address_takes_the_websocket_by_itself(
    pages: Pages, plane: FakePlane
) -> None:
    plane.takes_media_offers = True
    page = await begin(pages, script=NO_ADDRESS)
    session = await plane.session()
    assert await facts(page, "state.path") == "websocket"
    assert session.offers == []
    assert session.media is not None


async def test_a_server_that_refuses_webrtc_is_called_over_the_websocket_in_the_same_session(
    pages: Pages, plane: FakePlane
) -> None:
    plane.takes_media_offers = True
    plane.offer_refusal = (400, "no address of this machine can be reached by WebRTC; use a websocket")
    page = await begin(pages)
    session = await plane.session()
    assert await facts(page, "state.path") == "websocket"
    assert len(session.offers) == 1
    assert session.media is not None
    assert plane.sessions == [session]


async def test_whoever_asks_for_the_websocket_is_not_offered_webrtc(pages: Pages, plane: FakePlane) -> None:
    plane.takes_media_offers = True
    page = await begin(pages, "?path=websocket")
    session = await plane.session()
    assert await facts(page, "state.path") == "websocket"
    assert session.offers == []
