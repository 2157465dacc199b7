"""openrouter/audio_turns and a server that refuses, stalls, breaks off and lies."""

import asyncio
from typing import Any

import pytest

from agentfield_adapters.openrouter import audio_turns_adapter, turns
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    Notice,
    OutputAudio,
    ResponseEnded,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
    ToolCalled,
)
from agentfield_rt.ports import ProviderSettings
from tests.adapters.audio_turns_line import KEY, MS, REQUEST, Line
from tests.adapters.chat_peer import ChatPeer, delta, event, running_chat_peer, spoken

pytestmark = pytest.mark.asyncio
PIECE_EVENTS_MAX = 64 * 1024 // 300
"""Events of this size in what is read from the socket at once."""
SECRET = {"error": {"code": 1, "message": "canary: sk-canary-key said hello"}}


@pytest.fixture
def peer(chat_peer: ChatPeer) -> ChatPeer:
    return chat_peer


@pytest.fixture
def line(chat_line: Line) -> Line:
    return chat_line


# Connecting


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (401, Reason.UNAUTHORIZED, False),
        (429, Reason.RATE_LIMITED, True),
        (503, Reason.UNAVAILABLE, True),
    ],
)
async def test_a_server_that_refuses_the_key_is_no_connection(
    peer: ChatPeer, status: int, reason: Reason, retryable: bool
) -> None:
    peer.probe_status = status
    line = Line(peer)
    with pytest.raises(ProviderError) as raised:
        await line.connect()
    error = raised.value
    assert (error.reason, error.retryable, error.not_done) == (reason, retryable, True)
    assert "secret" not in str(error)
    with pytest.raises(ConnectionLost):
        await line.adapter.receive(demand=1)
    await line.adapter.close(CloseReason.NORMAL)


async def test_a_server_that_hangs_up_before_it_answers_has_done_nothing() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProviderError) as raised:
            settings = ProviderSettings(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY)
            await audio_turns_adapter(settings).connect(REQUEST)
    told = raised.value
    assert (told.reason, told.retryable, told.not_done) == (Reason.UNAVAILABLE, True, True)


async def test_a_server_that_has_no_probe_is_there_all_the_same(peer: ChatPeer) -> None:
    peer.probe_status = 404
    line = Line(peer)
    await line.connect()
    assert peer.probe_paths == ["/v1/models"]
    await line.adapter.close(CloseReason.NORMAL)


async def test_nobody_at_the_address_is_said_without_the_key() -> None:
    nowhere = audio_turns_adapter(ProviderSettings(base_url="http://127.0.0.1:9/v1", api_key=KEY))
    with pytest.raises(
        ProviderError, match=r"cannot be reached at http://127.0.0.1:9/v1 \(ConnectError\)"
    ) as e:
        await nowhere.connect(REQUEST)
    assert (e.value.reason, e.value.not_done, e.value.retryable) == (Reason.UNAVAILABLE, True, True)


async def test_a_key_is_needed() -> None:
    with pytest.raises(ProviderError, match="needs an API key") as raised:
        await audio_turns_adapter(ProviderSettings()).connect(REQUEST)
    assert raised.value.reason is Reason.UNAUTHORIZED


# Refusals


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.INVALID_REQUEST),
        (403, Reason.NOT_ALLOWED),
        (404, Reason.NOT_FOUND),
        (408, Reason.TIMEOUT),
        (413, Reason.INVALID_REQUEST),
        (429, Reason.RATE_LIMITED),
        (500, Reason.UNAVAILABLE),
        (502, Reason.UNAVAILABLE),
    ],
)
async def test_a_refused_answer_fails_and_the_next_may_be_asked_for(
    line: Line, status: int, reason: Reason
) -> None:
    response_id, exchange = await line.asked()
    await exchange.answer(status, SECRET)
    assert await line.ended() == ResponseEnded(response_id, ResponseStatus.FAILED)
    assert line.notices() == [("error", reason.value)]
    await line.answered("Hello.", frame=SpeechFrame("f2", "u2"))
    assert line.words() == "Hello."


@pytest.mark.parametrize(("status", "reason"), [(401, Reason.UNAUTHORIZED), (402, Reason.NOT_ALLOWED)])
async def test_a_key_that_no_longer_works_ends_the_session(line: Line, status: int, reason: Reason) -> None:
    response_id, exchange = await line.asked()
    await exchange.answer(status, SECRET)
    assert await line.ended() == ResponseEnded(response_id, ResponseStatus.FAILED)
    for call in (line.adapter.receive(demand=1), line.adapter.send(SpeechFrame("f2", "u2"))):
        with pytest.raises(ConnectionLost) as raised:
            await call
        assert (raised.value.reason, raised.value.retryable) == (reason, False)
        assert "canary" not in str(raised.value)


async def test_a_provider_that_wants_to_be_left_alone_is(line: Line) -> None:
    _, exchange = await line.asked()
    await exchange.answer(429, SECRET, **{"Retry-After": "30"})
    await line.ended()
    with pytest.raises(ProviderError, match="left alone for another") as raised:
        await line.adapter.send(SpeechFrame("f2", "u2"))
    error = raised.value
    assert (error.reason, error.retryable, error.not_done) == (Reason.RATE_LIMITED, True, True)
    assert line.peer.is_asked_nothing


async def test_a_request_that_reaches_nobody_was_certainly_not_made(peer: ChatPeer) -> None:
    async with running_chat_peer() as gone:
        line = Line(gone)
        await line.connect()
    with pytest.raises(ProviderError) as raised:
        await line.adapter.send(SpeechFrame("f1", "u1"))
    error = raised.value
    assert (error.reason, error.retryable, error.not_done) == (Reason.UNAVAILABLE, True, True)
    await line.adapter.close(CloseReason.NORMAL)


# Streams that break


async def test_a_stream_that_breaks_before_its_first_word_is_a_failure(line: Line) -> None:
    response_id, exchange = await line.asked()
    exchange.reset()
    assert await line.ended() == ResponseEnded(response_id, ResponseStatus.FAILED)
    assert line.notices() == [("error", Reason.CONNECTION_LOST.value)]


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_stream_that_breaks_in_mid_answer_keeps_what_came(line: Line, how: str) -> None:
    response_id, exchange = await line.asked()
    await exchange.begin()
    await exchange.give(*spoken("One two", MS * 100))
    await line.until(OutputAudio)
    if how == "reset":
        exchange.reset()
    else:
        await exchange.end()
    assert await line.ended() == ResponseEnded(response_id, ResponseStatus.INCOMPLETE)
    await line.adapter.send(TextFrame("t1", "Go on"))
    _, exchange = await line.asked(SpeechFrame("f2", "u2"))
    assert exchange.body["messages"][1:] == [
        {"role": "assistant", "content": "One two"},
        {"role": "user", "content": "Go on"},
    ]
    await exchange.end()


BROKEN: list[tuple[dict[str, Any], Reason]] = [
    ({"error": {"code": 429, "message": "canary"}, "choices": []}, Reason.RATE_LIMITED),
    ({"error": {"code": "server_error", "message": "canary"}}, Reason.UNAVAILABLE),
    ({"error": {"code": "502", "message": "canary"}}, Reason.UNAVAILABLE),
    ({"error": {"code": "canary"}}, Reason.UNAVAILABLE),
    ({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}, Reason.UNAVAILABLE),
]


@pytest.mark.parametrize(("chunk", "reason"), BROKEN)
async def test_an_error_in_the_stream_fails_what_has_not_begun(
    line: Line, chunk: dict[str, Any], reason: Reason
) -> None:
    response_id, exchange = await line.asked()
    await exchange.begin()
    await exchange.give(b": PROCESSING\n\n", chunk)
    assert await line.ended() == ResponseEnded(response_id, ResponseStatus.FAILED)
    assert line.notices() == [("error", reason.value)]
    await exchange.end()


async def test_an_error_in_the_stream_leaves_what_was_said(line: Line) -> None:
    response_id, exchange = await line.asked()
    await exchange.begin()
    await exchange.give(*spoken("One", MS * 100), {"error": {"code": 500}})
    assert await line.ended() == ResponseEnded(response_id, ResponseStatus.INCOMPLETE)
    await exchange.end()


async def test_no_tool_of_a_broken_answer_is_called(line: Line) -> None:
    _, exchange = await line.asked()
    await exchange.begin()
    call = {"index": 0, "id": "call_1", "function": {"name": "look_up", "arguments": "{}"}}
    await exchange.give(delta(tool_calls=[call]))
    exchange.reset()
    assert (await line.ended()).status is ResponseStatus.INCOMPLETE
    assert not [seen for seen in line.seen if isinstance(seen, ToolCalled)]


@pytest.mark.parametrize("wait", ["FIRST_PIECE_S", "NEXT_PIECE_S", "LINGER_S"])
async def test_a_stream_that_stalls_is_not_waited_for(
    line: Line, wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, wait, 0.05)
    response_id, exchange = await line.asked()
    await exchange.begin()
    await exchange.give(b": PROCESSING\n\n")
    status = ResponseStatus.FAILED
    if wait != "FIRST_PIECE_S":
        await exchange.give(*spoken("One", MS * 100))
        status = ResponseStatus.INCOMPLETE
    if wait == "LINGER_S":
        await exchange.give({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        status = ResponseStatus.COMPLETED
    assert await line.ended() == ResponseEnded(response_id, status)
    assert line.notices() == ([] if wait == "LINGER_S" else [("error", Reason.TIMEOUT.value)])
    await exchange.closed_by_client()


async def test_comments_keep_no_answer_alive(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "FIRST_PIECE_S", 0.1)
    _, exchange = await line.asked()
    await exchange.begin()

    async def comment_for_ever() -> None:
        while not exchange.over.is_set():
            await exchange.give(b": PROCESSING\n\n")
            await asyncio.sleep(0)

    commenting = asyncio.create_task(comment_for_ever())
    assert (await line.ended()).status is ResponseStatus.FAILED
    exchange.reset()
    await commenting


async def test_a_chunk_that_cannot_be_read_is_skipped_and_ten_in_a_minute_end_the_session(line: Line) -> None:
    _, exchange = await line.asked()
    await exchange.begin()
    await exchange.give(b"data: {canary\n\n", *spoken("One", MS), b"data: \xff\xfe\n\n")
    await exchange.done()
    assert (await line.ended()).status is ResponseStatus.COMPLETED
    assert line.notices() == [("chat.completion.chunk", "malformed")] * 2
    _, exchange = await line.asked(SpeechFrame("f2", "u2"))
    await exchange.begin()
    await exchange.give(*[b"data: nonsense\n\n"] * 4)
    await exchange.done()
    await line.ended()
    _, exchange = await line.asked(SpeechFrame("f3", "u3"))
    await exchange.begin()
    await exchange.give(b"data: " + b"[" * 100_000 + b"\n\n", *[b"data: nonsense\n\n"] * 3)
    assert (await line.ended()).status is ResponseStatus.FAILED
    assert line.notices()[-1] == ("error", Reason.PROTOCOL.value)
    with pytest.raises(ConnectionLost) as raised:
        await line.adapter.receive(demand=1)
    assert (raised.value.reason, raised.value.retryable) == (Reason.PROTOCOL, False)
    exchange.reset()


async def test_an_event_without_end_is_not_kept(line: Line) -> None:
    _, exchange = await line.asked()
    await exchange.begin()

    async def send_too_much() -> None:
        for _ in range(6):
            await exchange.give(b"data: " + b"x" * 1024 * 1024)

    sending = asyncio.create_task(send_too_much())
    assert (await line.ended()).status is ResponseStatus.FAILED
    await sending
    exchange.reset()


@pytest.mark.parametrize("body", [SECRET, {"choices": []}])
async def test_an_answer_that_is_no_stream_is_a_failure(line: Line, body: dict[str, object]) -> None:
    _, exchange = await line.asked()
    await exchange.answer(200, body)
    assert (await line.ended()).status is ResponseStatus.FAILED


async def test_a_stream_in_single_bytes_loses_nothing(line: Line) -> None:
    _, exchange = await line.asked()
    await exchange.begin()
    for chunk in (*spoken("Grüße, 世界", bytes(range(200))), delta(content="!")):
        for byte in event(chunk):
            await exchange.send(bytes([byte]))
    await exchange.done()
    await line.ended()
    assert line.words() == "Grüße, 世界!"
    assert b"".join(seen.pcm for seen in line.seen if isinstance(seen, OutputAudio)) == bytes(range(200))


async def test_no_word_of_the_provider_reaches_an_event(line: Line) -> None:
    _, exchange = await line.asked()
    await exchange.begin()
    await exchange.give({"error": {"code": "canary", "type": "canary", "message": "canary"}})
    await line.ended()
    assert not [seen for seen in line.seen if isinstance(seen, Notice) and "canary" in f"{seen}"]
    await exchange.end()
