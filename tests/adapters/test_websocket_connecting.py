"""How openai/websocket connects: what it configures, and why it could not."""

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from agentfield_adapters.openai import (
    connection,
    local_websocket_adapter,
    websocket_adapter,
)
from agentfield_rt.core.names import is_name
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    TextFrame,
)
from agentfield_rt.ports import (
    Connection,
    ProviderSettings,
)
from tests.adapters import peer as wire
from tests.adapters.peer import Peer, PeerSocket, both
from tests.adapters.websocket_line import KEY, REQUEST, Line, adapter_for, greeted


@pytest.mark.asyncio
async def test_connecting_configures_the_whole_session(peer: Peer) -> None:
    adapter = adapter_for(peer)

    async def provider() -> tuple[PeerSocket, dict[str, Any]]:
        socket = await peer.accept()
        return socket, await socket.greet()

    connected, (socket, session) = await both(adapter.connect(REQUEST), provider())
    assert connected == Connection(session_id="s1", connection_id=connected.connection_id)
    assert connected.connection_id.startswith("sess_1.")
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


@pytest.mark.asyncio
async def test_a_provider_that_hangs_up_before_it_answers_may_be_tried_again() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProviderError) as raised:
            await local_websocket_adapter(ProviderSettings(base_url=f"http://127.0.0.1:{port}")).connect(
                REQUEST
            )
    told = raised.value
    assert (told.reason, told.retryable, told.not_done) == (Reason.UNAVAILABLE, True, True)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "named", ["sess_1", "not a name", "", "x" * 512], ids=["one name", "free text", "no name", "too long"]
)
async def test_no_two_connections_have_one_name_whatever_a_server_calls_its_sessions(
    peer: Peer, named: str
) -> None:
    adapter = adapter_for(peer)

    async def provider() -> None:
        socket = await peer.accept()
        await socket.give({"type": "session.created", "session": {"id": named}})
        await socket.greet(created=False)

    first, _ = await both(adapter.connect(REQUEST), provider())
    second, _ = await both(adapter.restart(REQUEST), provider())
    assert first.connection_id != second.connection_id
    assert is_name(first.connection_id) and is_name(second.connection_id)
    await adapter.close(CloseReason.NORMAL)
