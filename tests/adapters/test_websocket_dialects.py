"""Servers that follow the protocol in their own way, each at the other end of a real socket."""

import asyncio
from typing import Any

import pytest

from agentfield_adapters.openai import connection, websocket_adapter
from agentfield_rt.errors import CloseReason, ProviderError, Reason
from agentfield_rt.frames import (
    Notice,
    OutputAudio,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
)
from agentfield_rt.ports import ProviderSettings
from tests.adapters import peer as wire
from tests.adapters.peer import Json, Peer, PeerSocket, both
from tests.adapters.websocket_line import KEY, REQUEST, Line

PNG = b"\x89PNG\r\n\x1a\n" + bytes(9)
JPEG = b"\xff\xd8\xff" + bytes(9)


async def connected_to(peer: Peer, settings: ProviderSettings, provider: Any) -> tuple[Line, Any]:
    adapter = websocket_adapter(settings)
    connected, (socket, told) = await both(adapter.connect(REQUEST), provider())
    return Line(adapter, socket, connected), told


@pytest.mark.asyncio
async def test_azure_is_shown_the_key_in_its_own_header(peer: Peer) -> None:
    async def provider() -> tuple[PeerSocket, None]:
        socket = await peer.accept()
        await socket.greet()
        return socket, None

    url = f"http://127.0.0.1:{peer.port}/openai/v1?api-version=preview"
    line, _ = await connected_to(peer, ProviderSettings(base_url=url, api_key=KEY, dialect="azure"), provider)
    assert line.socket.path == "/openai/v1/realtime?model=gpt-test&api-version=preview"
    assert line.socket.headers["api-key"] == KEY
    assert "Authorization" not in line.socket.headers
    await line.adapter.close(CloseReason.NORMAL)


@pytest.mark.parametrize("dialect", ["azure", "compatible"])
def test_a_dialect_without_an_address_says_so(dialect: str) -> None:
    adapter = websocket_adapter(ProviderSettings(api_key=KEY, dialect=dialect))
    with pytest.raises(ProviderError, match="base URL"):
        asyncio.run(adapter.connect(REQUEST))


def test_a_dialect_nobody_speaks_is_refused_by_name() -> None:
    with pytest.raises(ProviderError, match="openai, azure, compatible, compatible_beta") as raised:
        websocket_adapter(ProviderSettings(dialect="klingon"))
    assert raised.value.reason is Reason.INVALID_REQUEST


@pytest.mark.asyncio
@pytest.mark.parametrize("answers", [True, False], ids=["answers", "says nothing"])
async def test_a_compatible_server_need_not_greet_nor_answer(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setattr(connection, "ANSWER_S", 0.1 if not answers else 5)

    async def provider() -> tuple[PeerSocket, Json]:
        socket = await peer.accept()
        update = await socket.take("session.update")
        if answers:
            await socket.give({"type": "session.updated", "session": {}})
        return socket, update["session"]

    settings = ProviderSettings(base_url=peer.url, dialect="compatible")
    line, session = await connected_to(peer, settings, provider)
    assert session["type"] == "realtime"
    await line.adapter.send(TextFrame("f", "hello"))
    assert "id" not in (await line.socket.take("conversation.item.create"))["item"]
    await line.adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_compatible_servers_answer_is_known_by_its_turn_and_never_cut(peer: Peer) -> None:
    async def provider() -> tuple[PeerSocket, Json]:
        socket = await peer.accept()
        return socket, await socket.greet(created=False)

    settings = ProviderSettings(base_url=peer.url, dialect="compatible_beta")
    line, session = await connected_to(peer, settings, provider)
    assert session["modalities"] == ["audio", "text"]
    assert (session["input_audio_format"], session["voice"]) == ("pcm16", "marin")
    assert "audio" not in session and "type" not in session
    await line.adapter.send(SpeechFrame("f", "utt_1", text="hello"))
    await line.socket.take("response.create")
    delta = {**wire.audio("r", bytes(960)), "type": "response.audio.delta"}
    await line.socket.give(wire.created("r"), delta, wire.done("r"))
    assert await line.next(3) == [
        ResponseStarted("r", "utt_1"),
        OutputAudio("r", "item_1", bytes(960)),
        ResponseEnded("r", ResponseStatus.COMPLETED),
    ]
    await line.adapter.interrupt("r", heard_ms=5)
    await line.socket.takes_nothing()
    await line.adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
async def test_events_the_protocol_does_not_have_end_only_a_strict_session(peer: Peer, strict: bool) -> None:
    async def provider() -> tuple[PeerSocket, None]:
        socket = await peer.accept()
        await socket.greet()
        return socket, None

    settings = ProviderSettings(base_url=peer.url, api_key=KEY, strict=strict)
    line, _ = await connected_to(peer, settings, provider)
    seen: list[ProviderEvent] = []
    await line.socket.give(*[{"type": "ping"}] * 10, {"type": "input_audio_buffer.cleared"})
    if strict:
        assert (await line.lost()).reason is Reason.PROTOCOL
    else:
        while Notice("input_audio_buffer.cleared") not in seen:
            seen += await line.adapter.receive(demand=100)
        assert seen.count(Notice("ping")) == 10
    await line.adapter.close(CloseReason.NORMAL)
