"""What a provider may do to a socket is bounded, whether it carries a session or watches a call."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from agentfield_adapters.malformed import MALFORMED_MAX
from agentfield_adapters.openai import connection, dialing
from agentfield_rt.errors import CloseReason, ConnectionLost, Reason
from agentfield_rt.frames import Notice, ResponseEnded, ResponseStarted, ResponseStatus, TextFrame
from tests.adapters import peer as wire
from tests.adapters import test_webrtc_adapter as calls
from tests.adapters.calls_peer import running_calls_peer
from tests.adapters.peer import both, running_peer
from tests.adapters.websocket_line import REQUEST, Line, adapter_for, greeted

CUT_OFF = ResponseEnded("r", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST)
SOCKETS = pytest.mark.parametrize("kind", ["session", "sideband"])


@asynccontextmanager
async def connected(kind: str) -> AsyncGenerator[Line]:
    """A connected adapter and the provider's end of its socket."""
    if kind == "session":
        async with running_peer() as peer:
            adapter = adapter_for(peer)
            made, socket = await both(adapter.connect(REQUEST), greeted(peer))
            yield Line(adapter, socket, made)
            await adapter.close(CloseReason.NORMAL)
        return
    async with running_calls_peer() as calls_peer:
        adapter = calls.adapter_for(calls_peer)
        made, (socket, _) = await both(adapter.connect(calls.REQUEST), calls.joined(calls_peer))
        yield Line(adapter, socket, made)
        await adapter.close(CloseReason.NORMAL)


MALFORMED = [
    pytest.param(b"{", "unknown", id="cut JSON"),
    pytest.param(b"\xff\xfe", "unknown", id="no UTF-8"),
    pytest.param(b"[]", "unknown", id="no object"),
    pytest.param(b"[" * 100_000, "unknown", id="nested without end"),
    pytest.param(b'{"type": "response.done"}', "response.done", id="a field is missing"),
    pytest.param(b'{"type": "error", "error": 7}', "error", id="a field of another type"),
    pytest.param(
        b'{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "%"}',
        "response.output_audio.delta",
        id="no base64",
    ),
]


@SOCKETS
@pytest.mark.parametrize(("data", "name"), MALFORMED)
@pytest.mark.asyncio
async def test_one_bad_event_is_recorded_and_skipped(kind: str, data: bytes, name: str) -> None:
    async with connected(kind) as line:
        await line.socket.give(data, wire.created("r"))
        seen = list(await line.adapter.receive(demand=1))
        while not any(isinstance(event, ResponseStarted) for event in seen):
            seen += await line.adapter.receive(demand=1)
        assert seen.count(Notice(name, "malformed")) == 1


@SOCKETS
@pytest.mark.asyncio
async def test_ten_bad_events_in_a_minute_end_the_session(kind: str) -> None:
    async with connected(kind) as line:
        await line.socket.give(*[b"{"] * (MALFORMED_MAX - 1), wire.created("r"))
        assert await line.next() == [ResponseStarted("r")]
        await line.socket.give(b"{", wire.done("r"))
        assert await line.next() == [CUT_OFF]
        loss = await line.lost()
        assert (loss.reason, loss.retryable) == (Reason.PROTOCOL, False)
        await line.socket.gone()


@SOCKETS
@pytest.mark.asyncio
async def test_a_frame_of_more_than_sixteen_mebibytes_ends_the_connection(kind: str) -> None:
    assert dialing.FRAME_BYTES_MAX == 16 * 1024 * 1024
    async with connected(kind) as line:
        await line.socket.give(b" " * (dialing.FRAME_BYTES_MAX - 64) + b'{"type": "ping"}', wire.created("r"))
        assert await line.next() == [ResponseStarted("r")], "as much as may be is taken"
        await line.socket.give(b" " * (dialing.FRAME_BYTES_MAX + 1))
        assert await line.next() == [CUT_OFF]
        assert (await line.lost()).reason is Reason.PROTOCOL


@SOCKETS
@pytest.mark.asyncio
async def test_a_provider_that_takes_nothing_any_more_is_lost(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping waits behind what cannot be written, so it would never be missed."""
    monkeypatch.setattr(connection, "SEND_S", 0.2)
    async with connected(kind) as line:
        line.socket.play_dead()
        with pytest.raises(ConnectionLost) as raised:
            for number in range(100):
                await line.adapter.send(TextFrame(f"f{number}", "x" * 1_000_000))
        assert (raised.value.reason, raised.value.retryable) == (Reason.TIMEOUT, True)
        assert (await line.lost()).reason is Reason.TIMEOUT
