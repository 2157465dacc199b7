"""What goes through openai/websocket, how a connection is lost, and what never reaches a log."""

import asyncio
import base64
import logging

import pytest

from agentfield_adapters.openai import adapter as adapter_module
from agentfield_adapters.openai import (
    dialing,
)
from agentfield_adapters.openai.failures import CODES, Severity
from agentfield_rt.errors import CloseReason, ConnectionLost, Reason
from agentfield_rt.frames import (
    AudioFrame,
    Notice,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
)
from tests.adapters import peer as wire
from tests.adapters.peer import Peer, both
from tests.adapters.websocket_line import KEY, MS, REQUEST, Line, adapter_for, greeted

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
    assert await line.next(2) == [
        ResponseStarted("r"),
        ResponseEnded("r", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST),
    ]
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


ENDS = {code: known for code, known in CODES.items() if known[0] in (Severity.PLANNED, Severity.FATAL)}
GOES_ON = CODES.keys() - ENDS.keys()


@pytest.mark.asyncio
@pytest.mark.parametrize("code", ENDS)
async def test_an_error_that_ends_a_session_does_so_even_if_the_socket_stays(line: Line, code: str) -> None:
    await line.socket.give(wire.error(code))
    loss = await line.lost()
    severity, reason = CODES[code]
    assert (loss.reason, loss.retryable) == (reason, severity is Severity.PLANNED)
    await line.socket.gone()


@pytest.mark.asyncio
@pytest.mark.parametrize("code", sorted(GOES_ON))
async def test_any_other_error_is_told_and_the_session_goes_on(line: Line, code: str) -> None:
    await line.socket.give(wire.error(code))
    notices: list[ProviderEvent] = []
    while Notice("error", code) not in notices:
        notices += await line.adapter.receive(demand=10)
    await line.adapter.send(TextFrame("f", "still here"))
    await line.socket.take("conversation.item.create")


@pytest.mark.asyncio
@pytest.mark.parametrize("code", sorted(code for code in GOES_ON if CODES[code][0] is Severity.RETRY))
async def test_an_answer_that_may_be_asked_for_again_says_so(line: Line, code: str) -> None:
    reason = CODES[code][1]
    await line.adapter.send(SpeechFrame("f1", "u1", text="one"))
    asked = await line.socket.take("response.create")
    await line.socket.give(wire.error(code, event_id=asked["event_id"]))
    assert (await line.next(2))[1] == ResponseEnded(asked["event_id"], ResponseStatus.FAILED, reason)
    done = wire.done("r", "failed")
    done["response"]["status_details"] = {"type": "failed", "error": {"code": code}}
    await line.socket.give(wire.created("r"), done)
    assert (await line.next(2))[1] == ResponseEnded("r", ResponseStatus.FAILED, reason)


@pytest.mark.asyncio
async def test_an_error_nobody_knows_is_a_notice(line: Line) -> None:
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
