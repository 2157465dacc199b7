"""openai/websocket against a scripted provider on a real socket: configuration, frames, faults, overlap."""

import asyncio
import base64
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest
import pytest_asyncio

from agentfield_adapters.openai import adapter as adapter_module
from agentfield_adapters.openai import (
    connection,
    dialing,
    interruption,
    local_websocket_adapter,
    websocket_adapter,
)
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    AudioFrame,
    Notice,
    OutputAudio,
    OutputTranscript,
    OutputTruncated,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
)
from agentfield_rt.ports import (
    Connection,
    ConnectRequest,
    ProviderAdapter,
    ProviderSettings,
    SessionConfig,
    ToolSpec,
)
from tests.adapters import peer as wire
from tests.adapters.peer import Peer, PeerSocket, both

KEY = "sk-canary-key"
MS = bytes(48)
REQUEST = ConnectRequest(
    session_id="s1",
    config=SessionConfig(
        model="gpt-test",
        voice="marin",
        instructions="Take orders.",
        phrases=("a <drink> please",),
        rules={"drink": "coffee | tea"},
        turn_detection={"type": "server_vad", "silence_duration_ms": 320},
        tools=(ToolSpec(name="look_up", description="Looks up.", parameters={"type": "object"}),),
    ),
)


def adapter_for(peer: Peer) -> ProviderAdapter:
    return websocket_adapter(ProviderSettings(base_url=peer.url, api_key=KEY))


class Line:
    """A connected adapter and the provider's end of its socket."""

    def __init__(self, adapter: ProviderAdapter, socket: PeerSocket, connection: Connection) -> None:
        self.adapter = adapter
        self.socket = socket
        self.connection = connection

    async def next(self, count: int = 1) -> list[ProviderEvent]:
        """The next events that are not mere notices."""
        events: list[ProviderEvent] = []
        async with asyncio.timeout(5):
            while len(events) < count:
                received = await self.adapter.receive(demand=1)
                events += [event for event in received if not isinstance(event, Notice)]
        return events

    async def lost(self) -> ConnectionLost:
        """Receive to the end."""
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionLost) as raised:
                while True:
                    await self.adapter.receive(demand=100)
        return raised.value


async def greeted(peer: Peer) -> PeerSocket:
    socket = await peer.accept()
    await socket.greet()
    return socket


@pytest_asyncio.fixture
async def line(peer: Peer) -> AsyncGenerator[Line]:
    adapter = adapter_for(peer)
    connected, socket = await both(adapter.connect(REQUEST), greeted(peer))
    yield Line(adapter, socket, connected)
    await adapter.close(CloseReason.NORMAL)


# Connecting


@pytest.mark.asyncio
async def test_connecting_configures_the_whole_session(peer: Peer) -> None:
    adapter = adapter_for(peer)

    async def provider() -> tuple[PeerSocket, dict[str, Any]]:
        socket = await peer.accept()
        return socket, await socket.greet()

    connected, (socket, session) = await both(adapter.connect(REQUEST), provider())
    assert connected == Connection(session_id="s1", connection_id="sess_1")
    assert socket.path == "/v1/realtime?model=gpt-test"
    assert socket.headers["Authorization"] == f"Bearer {KEY}"
    assert "OpenAI-Beta" not in socket.headers
    assert session == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Take orders.",
        "tools": [
            {
                "type": "function",
                "name": "look_up",
                "description": "Looks up.",
                "parameters": {"type": "object"},
            }
        ],
        "tool_choice": "auto",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {
                    "model": "gpt-4o-transcribe",
                    "prompt": "The caller is likely to use these words: a, please, coffee, tea.",
                },
                "turn_detection": {
                    "type": "server_vad",
                    "silence_duration_ms": 320,
                    "create_response": False,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
        },
    }
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_the_local_dialect_sends_a_grammar_and_needs_no_key(peer: Peer) -> None:
    adapter = local_websocket_adapter(ProviderSettings(base_url=f"http://127.0.0.1:{peer.port}"))

    async def provider() -> tuple[PeerSocket, dict[str, Any]]:
        socket = await peer.accept()
        return socket, await socket.greet()

    push_to_talk = replace(REQUEST, config=replace(REQUEST.config, turn_detection=None, modalities=("text",)))
    _, (socket, session) = await both(adapter.connect(push_to_talk), provider())
    assert socket.path.startswith("/v1/realtime?")
    assert session["audio"]["input"]["transcription"] == {
        "prompt": "#JSGF V1.0;\ngrammar session;\n"
        "public <turn> = (a <drink> please);\n<drink> = coffee | tea;"
    }
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["output_modalities"] == ["text"]
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (ProviderSettings(base_url="http://127.0.0.1:9/v1"), Reason.UNAUTHORIZED),
        (ProviderSettings(base_url="http://127.0.0.1:9/v1", api_key="sk\r\nX: y"), Reason.UNAUTHORIZED),
        (ProviderSettings(base_url="127.0.0.1:9", api_key=KEY), Reason.INVALID_REQUEST),
        (ProviderSettings(base_url=f"http://me:{KEY}@127.0.0.1:9", api_key=KEY), Reason.INVALID_REQUEST),
        (ProviderSettings(base_url="ftp://127.0.0.1", api_key=KEY), Reason.INVALID_REQUEST),
        (ProviderSettings(base_url="http://127.0.0.1:1", api_key=KEY), Reason.UNAVAILABLE),
    ],
)
async def test_a_provider_that_cannot_be_reached_says_what_to_do(
    settings: ProviderSettings, reason: Reason
) -> None:
    with pytest.raises(ProviderError) as raised:
        await websocket_adapter(settings).connect(REQUEST)
    assert (raised.value.reason, raised.value.not_done) == (reason, True)
    assert "sk" not in str(raised.value)


@pytest.mark.asyncio
async def test_the_local_provider_without_an_address_says_how_to_start_one() -> None:
    with pytest.raises(ProviderError, match="af provider"):
        await local_websocket_adapter(ProviderSettings()).connect(REQUEST)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (HTTPStatus.BAD_REQUEST, Reason.INVALID_REQUEST, False),
        (HTTPStatus.UNAUTHORIZED, Reason.UNAUTHORIZED, False),
        (HTTPStatus.FORBIDDEN, Reason.NOT_ALLOWED, False),
        (HTTPStatus.NOT_FOUND, Reason.NOT_FOUND, False),
        (HTTPStatus.TOO_MANY_REQUESTS, Reason.RATE_LIMITED, True),
        (HTTPStatus.INTERNAL_SERVER_ERROR, Reason.UNAVAILABLE, True),
        (HTTPStatus.SERVICE_UNAVAILABLE, Reason.UNAVAILABLE, True),
        (HTTPStatus.OK, Reason.PROTOCOL, False),
    ],
)
async def test_a_refused_upgrade_tells_why(
    peer: Peer, status: HTTPStatus, reason: Reason, retryable: bool
) -> None:
    peer.status = status
    adapter = adapter_for(peer)
    with pytest.raises(ProviderError) as raised:
        await adapter.connect(REQUEST)
    assert (raised.value.reason, raised.value.retryable, raised.value.not_done) == (reason, retryable, True)
    assert "canary" not in str(raised.value)
    with pytest.raises(ConnectionLost):
        await adapter.receive(demand=1)


@pytest.mark.asyncio
async def test_a_refused_configuration_is_a_failed_start(peer: Peer) -> None:
    adapter = adapter_for(peer)

    async def provider() -> PeerSocket:
        socket = await peer.accept()
        await socket.give({"type": "session.created"})
        update = await socket.take("session.update")
        await socket.give(wire.error("unknown_parameter", event_id=update["event_id"]))
        return socket

    result, socket = await asyncio.gather(adapter.connect(REQUEST), provider(), return_exceptions=True)
    assert isinstance(result, ProviderError) and not isinstance(result, ConnectionLost)
    assert (result.reason, result.not_done) == (Reason.INVALID_REQUEST, True)
    assert "unknown_parameter" in str(result) and "canary" not in str(result)
    assert isinstance(socket, PeerSocket)
    await socket.gone()
    connected, _ = await both(adapter.connect(REQUEST), greeted(peer))
    assert connected.session_id == "s1"
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_bad_key_refused_after_the_upgrade_is_unauthorized(peer: Peer) -> None:
    adapter = adapter_for(peer)

    async def provider() -> None:
        socket = await peer.accept()
        await socket.close(3000, "invalid_request_error.invalid_api_key")

    result, _ = await asyncio.gather(adapter.connect(REQUEST), provider(), return_exceptions=True)
    assert isinstance(result, ProviderError)
    assert (result.reason, result.retryable, result.not_done) == (Reason.UNAUTHORIZED, False, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("greets", [True, False])
async def test_a_provider_that_says_nothing_is_given_up(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, greets: bool
) -> None:
    monkeypatch.setattr(connection, "ANSWER_S", 0.05)
    adapter = adapter_for(peer)

    async def provider() -> None:
        socket = await peer.accept()
        if greets:
            await socket.give({"type": "session.created"})
        await socket.gone()

    result, _ = await asyncio.gather(adapter.connect(REQUEST), provider(), return_exceptions=True)
    assert isinstance(result, ProviderError)
    assert (result.reason, result.retryable, result.not_done) == (Reason.TIMEOUT, True, True)


@pytest.mark.asyncio
async def test_an_adapter_has_one_connection(line: Line) -> None:
    with pytest.raises(ProviderError) as raised:
        await line.adapter.connect(REQUEST)
    assert raised.value.reason is Reason.INVALID_REQUEST


@pytest.mark.asyncio
async def test_nothing_can_be_done_before_connecting(peer: Peer) -> None:
    adapter = adapter_for(peer)
    for call in (
        adapter.send(TextFrame("f", "x")),
        adapter.receive(demand=1),
        adapter.interrupt("r", heard_ms=None),
    ):
        with pytest.raises(ProviderError, match="connect first"):
            await call


# Frames


@pytest.mark.asyncio
async def test_audio_goes_out_as_it_is(line: Line) -> None:
    await line.adapter.send(AudioFrame("f1", b"\1\0" * 480))
    event = await line.socket.take("input_audio_buffer.append")
    assert event == {
        "type": "input_audio_buffer.append",
        "audio": base64.b64encode(b"\1\0" * 480).decode(),
    }


@pytest.mark.asyncio
async def test_text_becomes_a_user_item(line: Line) -> None:
    await line.adapter.send(TextFrame("f1", "two coffees"))
    item = (await line.socket.take("conversation.item.create"))["item"]
    assert item["content"] == [{"type": "input_text", "text": "two coffees"}]
    assert (item["type"], item["role"]) == ("message", "user")
    await line.socket.takes_nothing()


@pytest.mark.asyncio
async def test_a_second_speech_waits_for_the_end_of_the_first(line: Line) -> None:
    await line.adapter.send(SpeechFrame("f1", "u1", text="one"))
    await line.adapter.send(SpeechFrame("f2", "u2", text="two"))
    first = await line.socket.take("response.create")
    await line.socket.takes_nothing()
    await line.socket.give(wire.created("r1", first["response"]["metadata"]), wire.done("r1"))
    second = await line.socket.take("response.create")
    assert second["response"]["metadata"]["utterance_id"] == "u2"
    assert await line.next(2) == [ResponseStarted("r1", "u1"), ResponseEnded("r1", ResponseStatus.COMPLETED)]


@pytest.mark.asyncio
async def test_events_reach_the_receiver_in_order_and_by_demand(line: Line) -> None:
    await line.socket.give(wire.created("r"), *(wire.words("r", str(n)) for n in range(5)), wire.done("r"))
    assert await line.next(7) == [
        ResponseStarted("r"),
        *(OutputTranscript("r", "item_1", str(n)) for n in range(5)),
        ResponseEnded("r", ResponseStatus.COMPLETED),
    ]
    with pytest.raises(ValueError, match="demand"):
        await line.adapter.receive(demand=0)


# The end of a connection


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "text", "reason", "retryable"),
    [
        (1000, "", Reason.CONNECTION_LOST, True),
        (
            1001,
            "Your session hit the maximum duration of 60 minutes.",
            Reason.SESSION_EXPIRED,
            True,
        ),
        (1001, "going away", Reason.UNAVAILABLE, True),
        (1008, "", Reason.NOT_ALLOWED, False),
        (1011, "canary", Reason.UNAVAILABLE, True),
        (1012, "", Reason.UNAVAILABLE, True),
        (1013, "", Reason.UNAVAILABLE, True),
        (3000, "invalid_request_error.insufficient_quota", Reason.NOT_ALLOWED, False),
        (3000, "canary", Reason.INVALID_REQUEST, False),
        (4321, "canary", Reason.CONNECTION_LOST, True),
    ],
)
async def test_a_close_code_tells_why(
    line: Line, code: int, text: str, reason: Reason, retryable: bool
) -> None:
    await line.socket.give(wire.created("r"))
    await line.socket.close(code, text)
    assert await line.next(2) == [ResponseStarted("r"), ResponseEnded("r", ResponseStatus.INCOMPLETE)]
    loss = await line.lost()
    assert (loss.reason, loss.retryable, loss.not_done) == (reason, retryable, False)
    assert "canary" not in str(loss)
    with pytest.raises(ConnectionLost):
        await line.adapter.send(AudioFrame("f", MS))
    with pytest.raises(ConnectionLost):
        await line.adapter.interrupt("r", heard_ms=0)


@pytest.mark.asyncio
async def test_a_broken_connection_is_lost(line: Line) -> None:
    line.socket.reset()
    assert (await line.lost()).reason is Reason.CONNECTION_LOST


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        ("session_expired", Reason.SESSION_EXPIRED, True),
        ("invalid_api_key", Reason.UNAUTHORIZED, False),
        ("insufficient_quota", Reason.NOT_ALLOWED, False),
    ],
)
async def test_a_fatal_error_ends_the_connection_even_if_the_socket_stays(
    line: Line, code: str, reason: Reason, retryable: bool
) -> None:
    await line.socket.give(wire.error(code))
    loss = await line.lost()
    assert (loss.reason, loss.retryable) == (reason, retryable)
    await line.socket.gone()


@pytest.mark.asyncio
async def test_any_other_error_is_a_notice(line: Line) -> None:
    await line.socket.give(wire.error("input_audio_buffer_commit_empty"), wire.error(None))
    notices: list[ProviderEvent] = []
    while len(notices) < 2:
        received = await line.adapter.receive(demand=10)
        notices += [e for e in received if isinstance(e, Notice) and e.name == "error"]
    assert notices == [Notice("error", "input_audio_buffer_commit_empty"), Notice("error", "unknown")]
    await line.adapter.send(TextFrame("f", "still here"))


@pytest.mark.asyncio
async def test_a_half_open_connection_is_noticed(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(dialing, "PONG_WITHIN_S", 0.05)
    adapter = adapter_for(peer)
    connected, socket = await both(adapter.connect(REQUEST), greeted(peer))
    socket.play_dead()
    assert (await Line(adapter, socket, connected).lost()).reason is Reason.CONNECTION_LOST
    await adapter.close(CloseReason.PROVIDER_FAILURE)


@pytest.mark.asyncio
async def test_one_malformed_event_is_skipped_and_ten_end_the_connection(line: Line) -> None:
    await line.socket.give(b"{", wire.created("r"))
    assert await line.next() == [ResponseStarted("r")]
    await line.socket.give(*[b'{"type": "error"}', b"\xff"] * 5)
    loss = await line.lost()
    assert (loss.reason, loss.retryable) == (Reason.PROTOCOL, False)
    await line.socket.gone()


@pytest.mark.asyncio
async def test_an_oversized_frame_ends_the_connection(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "FRAME_BYTES_MAX", 10_000)
    adapter = adapter_for(peer)
    connected, socket = await both(adapter.connect(REQUEST), greeted(peer))
    await socket.give(b" " * 20_000)
    assert (await Line(adapter, socket, connected).lost()).reason is Reason.PROTOCOL
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_flood_is_held_back_and_nothing_of_it_is_lost(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_module, "EVENTS_MAX", 8)
    adapter = adapter_for(peer)
    connected, socket = await both(adapter.connect(REQUEST), greeted(peer))
    flooding = asyncio.create_task(
        socket.give(wire.created("r"), *(wire.audio("r", bytes([n]) * 48_000) for n in range(200)))
    )
    await asyncio.wait([flooding], timeout=0.3)
    assert not flooding.done()
    received = await Line(adapter, socket, connected).next(201)
    assert [e.pcm[0] for e in received if isinstance(e, OutputAudio)] == list(range(200))
    await flooding
    await adapter.close(CloseReason.NORMAL)


# Interrupting


async def speaking(line: Line, *, ms: int, ended: bool = False) -> None:
    await line.socket.give(wire.created("r"), wire.audio("r", MS * ms))
    assert await line.next(2) == [ResponseStarted("r"), OutputAudio("r", "item_1", MS * ms)]
    if ended:
        await line.socket.give(wire.done("r"))
        await line.next()


@pytest.mark.asyncio
async def test_an_interrupt_cancels_then_cuts_to_what_was_heard(line: Line) -> None:
    await speaking(line, ms=500)
    await line.socket.give(wire.audio("r", MS * 100), wire.words("r", "late words"))

    async def provider() -> dict[str, Any]:
        cancel = await line.socket.take("response.cancel")
        await line.socket.give(wire.audio("r", MS * 100), wire.done("r", "cancelled"))
        cut = await line.socket.take("conversation.item.truncate")
        answer = {"type": "conversation.item.truncated", "item_id": "item_1", "audio_end_ms": 320}
        await line.socket.give(answer)
        assert cancel["response_id"] == "r"
        return cut

    _, cut = await both(line.adapter.interrupt("r", heard_ms=320), provider())
    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("item_1", 0, 320)
    assert await line.next(3) == [
        OutputTranscript("r", "item_1", "late words"),
        ResponseEnded("r", ResponseStatus.CANCELLED),
        OutputTruncated("item_1", 320),
    ]


@pytest.mark.asyncio
async def test_what_plays_on_after_the_end_is_cut_without_a_cancel(line: Line) -> None:
    await speaking(line, ms=500, ended=True)

    async def provider() -> None:
        cut = await line.socket.take("conversation.item.truncate")
        await line.socket.give(wire.error(None, event_id=cut["event_id"], message="already shorter than"))

    await both(line.adapter.interrupt("r", heard_ms=320), provider())
    await line.adapter.interrupt("r", heard_ms=320)
    await line.socket.takes_nothing()


@pytest.mark.asyncio
async def test_a_response_heard_to_its_end_needs_no_cut(line: Line) -> None:
    await speaking(line, ms=500, ended=True)
    await line.adapter.interrupt("r", heard_ms=700)
    await line.adapter.interrupt("r", heard_ms=None)
    await line.socket.takes_nothing()


@pytest.mark.asyncio
async def test_an_item_nobody_heard_is_removed(line: Line) -> None:
    await speaking(line, ms=500, ended=True)

    async def provider() -> None:
        await line.socket.take("conversation.item.delete")
        await line.socket.give({"type": "conversation.item.deleted", "item_id": "item_1"})

    await both(line.adapter.interrupt("r", heard_ms=0), provider())
    assert await line.next() == [OutputTruncated("item_1", 0)]


@pytest.mark.asyncio
async def test_a_cancel_that_came_too_late_is_no_failure(line: Line) -> None:
    await speaking(line, ms=20)

    async def provider() -> None:
        cancel = await line.socket.take("response.cancel")
        await line.socket.give(
            wire.done("r"), wire.error("response_cancel_not_active", event_id=cancel["event_id"])
        )

    await both(line.adapter.interrupt("r", heard_ms=None), provider())


@pytest.mark.asyncio
async def test_an_interrupt_without_confirmation_has_an_unknown_outcome(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "CONFIRM_S", 0.05)
    await speaking(line, ms=20)
    with pytest.raises(ProviderError) as raised:
        await line.adapter.interrupt("r", heard_ms=0)
    assert (raised.value.reason, raised.value.not_done) == (Reason.TIMEOUT, False)
    await line.adapter.send(TextFrame("f", "still here"))


@pytest.mark.asyncio
async def test_an_unknown_response_cannot_be_interrupted(line: Line) -> None:
    with pytest.raises(ProviderError) as raised:
        await line.adapter.interrupt("other", heard_ms=0)
    assert raised.value.reason is Reason.NOT_FOUND


# Overlap, cancellation, restart, close


@pytest.mark.asyncio
async def test_sends_receives_and_interrupts_overlap(line: Line) -> None:
    """The provider answers each frame it hears; two interrupts of the same response run into each other."""
    await line.socket.give(wire.created("r"))
    await line.next()

    async def provider() -> int:
        heard = 0
        while heard < 200:
            await line.socket.take("input_audio_buffer.append")
            heard += 1
            await line.socket.give(wire.audio("r", MS * 20))
        for _ in range(2):
            await line.socket.take("response.cancel")
        await line.socket.give(wire.done("r", "cancelled"))
        for _ in range(2):
            await line.socket.take("conversation.item.truncate")
        await line.socket.give(
            {"type": "conversation.item.truncated", "item_id": "item_1", "audio_end_ms": 60}
        )
        return heard

    async def caller() -> None:
        for number in range(200):
            await line.adapter.send(AudioFrame(f"f{number}", MS * 20))
        await asyncio.gather(
            line.adapter.interrupt("r", heard_ms=100), line.adapter.interrupt("r", heard_ms=60)
        )

    receiving = asyncio.create_task(line.lost())
    await both(provider(), caller())
    await line.adapter.close(CloseReason.NORMAL)
    assert not (await receiving).retryable


@pytest.mark.asyncio
async def test_a_cancelled_connect_leaves_no_socket(peer: Peer) -> None:
    adapter = adapter_for(peer)
    connecting = asyncio.create_task(adapter.connect(REQUEST))
    socket = await peer.accept()
    await socket.give({"type": "session.created"})
    await socket.take("session.update")
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await socket.gone()
    _, socket = await both(adapter.connect(REQUEST), greeted(peer))
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_cancelled_receive_loses_nothing(line: Line) -> None:
    texts: list[str] = []

    def note(received: list[ProviderEvent] | tuple[ProviderEvent, ...]) -> None:
        texts.extend(event.text for event in received if isinstance(event, OutputTranscript))

    for number in range(20):
        receiving = asyncio.create_task(line.adapter.receive(demand=1))
        await line.socket.give(wire.words("r", str(number)))
        for _ in range(number):  # cancel before, while and after the event arrives
            await asyncio.sleep(0)
        receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            note(await receiving)
    async with asyncio.timeout(5):
        while len(texts) < 20:
            note(await line.adapter.receive(demand=100))
    assert texts == [str(number) for number in range(20)]


@pytest.mark.asyncio
async def test_a_send_cancelled_while_the_socket_is_full_takes_no_request_with_it(line: Line) -> None:
    line.socket.play_dead()

    async def fill() -> None:
        while True:
            await line.adapter.send(AudioFrame("f", bytes(1_000_000)))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await fill()
    speaking = asyncio.create_task(line.adapter.send(SpeechFrame("f1", "u1", text="hello")))
    await asyncio.wait([speaking], timeout=0.05)
    assert not speaking.done()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    line.socket.wake()
    while (event := await line.socket.take_any())["type"] == "input_audio_buffer.append":
        pass
    assert event["response"]["metadata"]["utterance_id"] == "u1"


@pytest.mark.asyncio
async def test_a_cancelled_interrupt_leaves_the_connection_usable(line: Line) -> None:
    await speaking(line, ms=20)
    interrupting = asyncio.create_task(line.adapter.interrupt("r", heard_ms=10))
    await line.socket.take("response.cancel")
    interrupting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await interrupting
    await line.socket.give(wire.done("r", "cancelled"))
    assert await line.next() == [ResponseEnded("r", ResponseStatus.CANCELLED)]


@pytest.mark.asyncio
async def test_a_restart_hands_out_what_was_received_and_then_the_new_connection(
    line: Line, peer: Peer
) -> None:
    await line.socket.give(wire.created("r"))
    assert await line.next() == [ResponseStarted("r")]
    await line.socket.give(wire.words("r", "before"), {"type": "marker"})
    receiving = asyncio.create_task(line.next(2))
    await asyncio.wait([receiving], timeout=0.05)
    old = line.socket
    connected, line.socket = await both(line.adapter.restart(REQUEST), greeted(peer))
    assert connected.connection_id == "sess_1"
    assert await receiving == [
        OutputTranscript("r", "item_1", "before"),
        ResponseEnded("r", ResponseStatus.INCOMPLETE),
    ]
    await old.gone()
    with pytest.raises(ProviderError) as raised:
        await line.adapter.interrupt("r", heard_ms=0)
    assert raised.value.reason is Reason.NOT_FOUND
    await line.socket.give(wire.created("q"))
    assert await line.next() == [ResponseStarted("q")]


@pytest.mark.asyncio
async def test_a_lost_connection_can_be_restarted_and_a_failed_restart_retried(
    line: Line, peer: Peer
) -> None:
    line.socket.reset()
    await line.lost()
    peer.status = HTTPStatus.SERVICE_UNAVAILABLE
    with pytest.raises(ProviderError) as raised:
        await line.adapter.restart(REQUEST)
    assert raised.value.retryable
    assert (await line.lost()).reason is Reason.UNAVAILABLE
    peer.status = None
    _, line.socket = await both(line.adapter.restart(REQUEST), greeted(peer))
    await line.adapter.send(TextFrame("f", "back"))
    await line.socket.take("conversation.item.create")


@pytest.mark.asyncio
async def test_a_cancelled_restart_leaves_no_socket_and_can_be_repeated(line: Line, peer: Peer) -> None:
    restarting = asyncio.create_task(line.adapter.restart(REQUEST))
    half_way = await peer.accept()
    restarting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restarting
    await half_way.gone()
    assert (await line.lost()).reason is Reason.CANCELLED
    _, line.socket = await both(line.adapter.restart(REQUEST), greeted(peer))


@pytest.mark.asyncio
async def test_closing_wakes_everyone_and_may_be_repeated(line: Line) -> None:
    await speaking(line, ms=20)
    receiving = asyncio.create_task(line.lost())
    interrupting = asyncio.create_task(line.adapter.interrupt("r", heard_ms=0))
    await line.socket.take("response.cancel")
    await both(line.adapter.close(CloseReason.NORMAL), line.adapter.close(CloseReason.CANCEL))
    with pytest.raises(ConnectionLost):
        await interrupting
    assert not (await receiving).retryable
    assert await line.socket.gone() == 1000
    for call in (line.adapter.send(AudioFrame("f", MS)), line.adapter.restart(REQUEST)):
        with pytest.raises(ConnectionLost):
            await call


@pytest.mark.asyncio
async def test_closing_does_not_wait_for_a_provider_that_does_not_answer(line: Line) -> None:
    line.socket.play_dead()
    async with asyncio.timeout(2):
        await line.adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_cancelled_close_lets_go_of_the_socket(line: Line) -> None:
    line.socket.play_dead()
    closing = asyncio.create_task(line.adapter.close(CloseReason.NORMAL))
    await asyncio.wait([closing], timeout=0.05)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    line.socket.wake()
    await line.socket.gone()


@pytest.mark.asyncio
async def test_closing_while_connecting_ends_the_connecting(peer: Peer) -> None:
    adapter = adapter_for(peer)
    connecting = asyncio.create_task(adapter.connect(REQUEST))
    socket = await peer.accept()
    await adapter.close(CloseReason.CANCEL)
    async with asyncio.timeout(2):
        with pytest.raises(ProviderError, match="closed"):
            await connecting
    await socket.gone()


@pytest.mark.asyncio
async def test_an_adapter_that_was_never_connected_can_be_closed(peer: Peer) -> None:
    adapter = adapter_for(peer)
    await adapter.close(CloseReason.NORMAL)
    with pytest.raises(ProviderError):
        await adapter.connect(REQUEST)


# Secrets


@pytest.mark.asyncio
async def test_neither_key_nor_words_reach_logs_or_reprs(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # before connecting: the socket asks for the level once
    adapter = adapter_for(peer)
    connected, socket = await both(adapter.connect(REQUEST), greeted(peer))
    line = Line(adapter, socket, connected)
    await adapter.send(TextFrame("f", "canary: words"))
    await socket.take("conversation.item.create")
    await socket.give(wire.created("r"), wire.words("r", "canary: words"), wire.error("x"), b"canary")
    await line.next(2)
    await socket.close(4000, "canary")
    await line.lost()
    own = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert not [r for r in own if "canary" in r.getMessage() or KEY in r.getMessage()]
    assert KEY not in repr(adapter) + repr(vars(adapter))
    await adapter.close(CloseReason.NORMAL)
