"""openai/webrtc against a scripted calls API and sideband: the call's life, and its ends."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from email.parser import BytesParser
from http import HTTPStatus
from typing import Any

import pytest
import pytest_asyncio

from agentfield_adapters.openai import adapter as adapter_module
from agentfield_adapters.openai import calls, webrtc_adapter
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    AudioFrame,
    CallEnded,
    Notice,
    PlaybackStarted,
    PlaybackStopped,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
)
from agentfield_rt.ports import (
    Connection,
    ConnectRequest,
    ProviderAdapter,
    ProviderSettings,
    SessionConfig,
)
from tests.adapters import peer as wire
from tests.adapters.calls_peer import ANSWER_SDP, CallsPeer, Post, Reply
from tests.adapters.peer import PeerSocket, both

KEY = "sk-canary-key"
OFFER_SDP = "v=0\r\noffer\r\n"
REJOIN = ConnectRequest(
    session_id="s1", config=SessionConfig(model="gpt-test", turn_detection={"type": "server_vad"})
)
REQUEST = replace(REJOIN, offer_sdp=OFFER_SDP)


def adapter_for(peer: CallsPeer) -> ProviderAdapter:
    return webrtc_adapter(ProviderSettings(base_url=peer.url, api_key=KEY))


def parts(post: Post) -> dict[str, tuple[str, str]]:
    """The parts of a multipart body: name → content type and text."""
    head = f"Content-Type: {post.headers['content-type']}\r\n\r\n".encode()
    found: dict[str, tuple[str, str]] = {}
    for part in BytesParser().parsebytes(head + post.body).walk():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            found[name] = (part.get_content_type(), payload.decode())
    return found


class Call:
    """A connected adapter and the provider's end of its sideband."""

    def __init__(self, adapter: ProviderAdapter, socket: PeerSocket, connection: Connection) -> None:
        self.adapter = adapter
        self.socket = socket
        self.connection = connection

    async def next(self, count: int = 1) -> list[ProviderEvent]:
        events: list[ProviderEvent] = []
        async with asyncio.timeout(5):
            while len(events) < count:
                received = await self.adapter.receive(demand=1)
                events += [event for event in received if not isinstance(event, Notice)]
        return events

    async def lost(self) -> ConnectionLost:
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionLost) as raised:
                while True:
                    await self.adapter.receive(demand=100)
        return raised.value


async def joined(peer: CallsPeer) -> tuple[PeerSocket, dict[str, Any]]:
    socket = await peer.peer.accept()
    return socket, await socket.greet(created=False)


@pytest_asyncio.fixture
async def call(calls_peer: CallsPeer) -> AsyncGenerator[Call]:
    adapter = adapter_for(calls_peer)
    connected, (socket, _) = await both(adapter.connect(REQUEST), joined(calls_peer))
    await calls_peer.post()
    yield Call(adapter, socket, connected)
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_the_call_is_made_with_our_key_and_watched_before_the_caller_has_the_answer(
    calls_peer: CallsPeer,
) -> None:
    adapter = adapter_for(calls_peer)
    connected, (socket, session) = await both(adapter.connect(REQUEST), joined(calls_peer))
    assert connected == Connection(session_id="s1", connection_id="rtc_1", answer_sdp=ANSWER_SDP)
    post = await calls_peer.post()
    assert (post.path, post.headers["authorization"]) == ("/v1/realtime/calls", f"Bearer {KEY}")
    found = parts(post)
    assert found["sdp"] == ("application/sdp", OFFER_SDP)
    kind, text = found["session"]
    assert (kind, json.loads(text)) == ("application/json", {**session, "model": "gpt-test"})
    assert "format" not in session["audio"]["input"] and "output" not in session["audio"]
    assert (socket.path, socket.headers["Authorization"]) == (
        "/v1/realtime?call_id=rtc_1",
        f"Bearer {KEY}",
    )
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_call_needs_an_offer(calls_peer: CallsPeer) -> None:
    with pytest.raises(ProviderError, match="SDP offer") as raised:
        await adapter_for(calls_peer).connect(REJOIN)
    assert raised.value.reason is Reason.INVALID_REQUEST


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "reason", "not_done"),
    [
        (Reply(400, body=b"canary"), Reason.INVALID_REQUEST, True),
        (Reply(401, body=b"canary"), Reason.UNAUTHORIZED, True),
        (Reply(429, {"Retry-After": "1"}), Reason.RATE_LIMITED, True),
        (Reply(503), Reason.UNAVAILABLE, True),
        (Reply(504), Reason.UNAVAILABLE, False),
        (Reply(302, {"Location": "http://127.0.0.1:1/"}), Reason.PROTOCOL, True),
        (Reply(201, body=b"v=0"), Reason.PROTOCOL, False),
        (Reply(201, {"Location": "/calls/rtc%2F.."}, b"v=0"), Reason.PROTOCOL, False),
        (Reply(201, {"Location": "/calls/rtc_1"}, b"x" * 300_000), Reason.PROTOCOL, False),
        (Reply(201, {"Location": "/calls/rtc_1"}, b"\xff"), Reason.PROTOCOL, True),
        (Reply(0), Reason.TIMEOUT, False),
    ],
)
async def test_a_call_that_cannot_be_made_tells_why(
    calls_peer: CallsPeer,
    reply: Reply,
    reason: Reason,
    not_done: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "CREATE_S", 0.3)
    calls_peer.replies["/calls"] = reply
    with pytest.raises(ProviderError) as raised:
        await adapter_for(calls_peer).connect(REQUEST)
    assert (raised.value.reason, raised.value.not_done) == (reason, not_done)
    assert "canary" not in str(raised.value) and KEY not in str(raised.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(("hangup_status", "not_done"), [(200, True), (404, True), (500, False)])
async def test_a_call_that_cannot_be_watched_is_hung_up(
    calls_peer: CallsPeer, hangup_status: int, not_done: bool
) -> None:
    calls_peer.peer.status = HTTPStatus.NOT_FOUND
    calls_peer.replies["/hangup"] = Reply(hangup_status)
    with pytest.raises(ProviderError) as raised:
        await adapter_for(calls_peer).connect(REQUEST)
    assert (raised.value.reason, raised.value.not_done) == (Reason.NOT_FOUND, not_done)
    await calls_peer.post()
    assert (await calls_peer.post()).path == "/v1/realtime/calls/rtc_1/hangup"


@pytest.mark.asyncio
async def test_a_cancelled_connect_hangs_up(calls_peer: CallsPeer) -> None:
    connecting = asyncio.create_task(adapter_for(calls_peer).connect(REQUEST))
    socket = await calls_peer.peer.accept()
    await calls_peer.post()
    connecting.cancel()
    assert (await calls_peer.post()).path.endswith("/hangup")
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await socket.gone()


@pytest.mark.asyncio
async def test_closing_while_the_call_is_made_hangs_up(calls_peer: CallsPeer) -> None:
    adapter = adapter_for(calls_peer)
    connecting = asyncio.create_task(adapter.connect(REQUEST))
    socket = await calls_peer.peer.accept()
    await calls_peer.post()
    await adapter.close(CloseReason.CANCEL)
    with pytest.raises(ProviderError):
        await connecting
    assert (await calls_peer.post()).path.endswith("/hangup")
    await socket.gone()


@pytest.mark.asyncio
async def test_audio_does_not_go_this_way(call: Call) -> None:
    with pytest.raises(ProviderError) as raised:
        await call.adapter.send(AudioFrame("f", bytes(960)))
    assert (raised.value.reason, raised.value.not_done) == (Reason.INVALID_REQUEST, True)


@pytest.mark.asyncio
async def test_speech_and_its_playback_are_reported(call: Call) -> None:
    await call.adapter.send(SpeechFrame("f", "u1", text="hello"))
    metadata = (await call.socket.take("response.create"))["response"]["metadata"]
    await call.socket.give(
        wire.created("r", metadata),
        {"type": "output_audio_buffer.started", "response_id": "r"},
        wire.done("r"),
        {"type": "output_audio_buffer.stopped", "response_id": "r"},
    )
    assert await call.next(4) == [
        ResponseStarted("r", "u1"),
        PlaybackStarted("r"),
        ResponseEnded("r", ResponseStatus.COMPLETED),
        PlaybackStopped("r", cleared=False),
    ]


@pytest.mark.asyncio
async def test_an_interrupt_stops_generating_and_playing_before_anything_else_may_start(
    call: Call,
) -> None:
    await call.socket.give(wire.created("r"), {"type": "output_audio_buffer.started", "response_id": "r"})
    await call.next(2)
    await call.adapter.send(SpeechFrame("f", "u1", text="next"))

    async def provider() -> None:
        await call.socket.take("response.cancel")
        await call.socket.take("output_audio_buffer.clear")
        await call.socket.give(
            {"type": "output_audio_buffer.cleared", "response_id": "r"}, wire.done("r", "cancelled")
        )
        await call.socket.take("response.create")

    await both(call.adapter.interrupt("r", heard_ms=None), provider())
    assert await call.next(2) == [
        PlaybackStopped("r", cleared=True),
        ResponseEnded("r", ResponseStatus.CANCELLED),
    ]
    await call.adapter.interrupt("r", heard_ms=None)
    await call.socket.takes_nothing()


@pytest.mark.asyncio
async def test_what_still_plays_after_the_end_is_cleared_without_a_cancel(call: Call) -> None:
    await call.socket.give(
        wire.created("r"), {"type": "output_audio_buffer.started", "response_id": "r"}, wire.done("r")
    )
    await call.next(3)

    async def provider() -> None:
        await call.socket.take("output_audio_buffer.clear")
        await call.socket.give({"type": "output_audio_buffer.cleared", "response_id": "r"})

    await both(call.adapter.interrupt("r", heard_ms=None), provider())


@pytest.mark.asyncio
async def test_a_clean_end_is_the_caller_hanging_up(call: Call) -> None:
    await call.socket.give(wire.created("r"))
    await call.socket.close(1000)
    assert await call.next(3) == [
        ResponseStarted("r"),
        ResponseEnded("r", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST),
        CallEnded(),
    ]
    assert not (await call.lost()).retryable


@pytest.mark.asyncio
async def test_a_sideband_that_breaks_joins_the_same_call_again(call: Call, calls_peer: CallsPeer) -> None:
    await call.socket.give(wire.created("r"))
    call.socket.reset()
    assert await call.next(2) == [
        ResponseStarted("r"),
        ResponseEnded("r", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST),
    ]
    assert (await call.lost()).retryable

    async def rejoined() -> None:
        call.socket, _ = await joined(calls_peer)
        await call.socket.take("response.cancel")
        await call.socket.take("output_audio_buffer.clear")
        await call.socket.give(wire.words("r", "late"), wire.done("r", "cancelled"))

    connected, _ = await both(call.adapter.restart(REJOIN), rejoined())
    assert connected.connection_id == "rtc_1.2"
    assert calls_peer.posts.empty()
    await call.socket.give(wire.created("q"))
    assert await call.next() == [ResponseStarted("q")]


@pytest.mark.asyncio
async def test_a_call_that_was_silent_when_it_is_joined_again_says_so(
    call: Call, calls_peer: CallsPeer
) -> None:
    call.socket.reset()
    await call.lost()

    async def rejoined() -> None:
        call.socket, _ = await joined(calls_peer)
        cancel = await call.socket.take("response.cancel")
        await call.socket.take("output_audio_buffer.clear")
        await call.socket.give(wire.error("response_cancel_not_active", event_id=cancel["event_id"]))

    await both(call.adapter.restart(REJOIN), rejoined())
    await call.adapter.send(SpeechFrame("f", "u1", text="as I said"))
    await call.socket.take("response.create")


@pytest.mark.asyncio
async def test_a_restart_with_a_new_offer_hangs_up_the_old_call(call: Call, calls_peer: CallsPeer) -> None:
    calls_peer.replies["/calls"].headers["Location"] = "/v1/realtime/calls/rtc_2"
    connected, (call.socket, _) = await both(call.adapter.restart(REQUEST), joined(calls_peer))
    assert connected.connection_id == "rtc_2"
    assert (await calls_peer.post()).path == "/v1/realtime/calls/rtc_1/hangup"
    assert (await calls_peer.post()).path == "/v1/realtime/calls"


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [200, 404])
async def test_closing_hangs_up_and_leaves_the_sideband(
    call: Call, calls_peer: CallsPeer, status: int
) -> None:
    calls_peer.replies["/hangup"] = Reply(status)
    await call.adapter.close(CloseReason.NORMAL)
    await call.adapter.close(CloseReason.NORMAL)
    assert (await calls_peer.post()).path == "/v1/realtime/calls/rtc_1/hangup"
    assert calls_peer.posts.empty()
    assert await call.socket.gone() == 1000
    assert not (await call.lost()).retryable


@pytest.mark.asyncio
@pytest.mark.parametrize(("reply", "reason"), [(Reply(0), Reason.TIMEOUT), (Reply(500), Reason.UNAVAILABLE)])
async def test_a_provider_that_does_not_hang_up_is_left_all_the_same(
    call: Call, calls_peer: CallsPeer, reply: Reply, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_module, "CLOSE_S", 0.2)
    calls_peer.replies["/hangup"] = reply
    with pytest.raises(ProviderError) as raised:
        await call.adapter.close(CloseReason.NORMAL)
    assert raised.value.reason is reason
    await call.socket.gone()
