"""What openai/websocket says and hears beyond speech: pictures, turns by hand, telephone audio, reports."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentfield_adapters.media.g711 import A_LAW, MU_LAW, Companding
from agentfield_adapters.openai import connection, websocket_adapter
from agentfield_rt.errors import CloseReason, ProviderError, Reason
from agentfield_rt.frames import (
    IMAGE_BYTES_MAX,
    AudioFrame,
    ConnectionExpiring,
    ImageFrame,
    InputRejected,
    InputTranscript,
    Notice,
    OutputAudio,
    ProviderEvent,
    RateLimit,
    RateLimitsReported,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
    TurnEndFrame,
    Usage,
    UsageReported,
)
from agentfield_rt.ports import AudioFormat, ProviderSettings, SessionConfig
from tests.adapters import peer as wire
from tests.adapters.peer import Json, Peer, PeerSocket, both
from tests.adapters.websocket_line import KEY, REQUEST, Line

PNG = b"\x89PNG\r\n\x1a\n" + bytes(9)
JPEG = b"\xff\xd8\xff" + bytes(9)


@asynccontextmanager
async def lined(
    peer: Peer, config: SessionConfig, *, session: Json | None = None
) -> AsyncGenerator[tuple[Line, Json]]:
    """A line for a session of its own, and the session object it asked for; `session` is what it is told."""
    adapter = websocket_adapter(ProviderSettings(base_url=peer.url, api_key=KEY))

    async def provider() -> tuple[PeerSocket, Json]:
        socket = await peer.accept()
        await socket.give({"type": "session.created", "session": {"id": "sess_1", **(session or {})}})
        return socket, await socket.greet(created=False)

    connected, (socket, asked) = await both(adapter.connect(replace(REQUEST, config=config)), provider())
    try:
        yield Line(adapter, socket, connected), asked
    finally:
        await adapter.close(CloseReason.NORMAL)


# What is sent


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("frame", "content"),
    [
        pytest.param(
            ImageFrame("f", PNG, "image/png"),
            {"image_url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
            id="png",
        ),
        pytest.param(
            ImageFrame("f", JPEG, "image/jpeg", detail="low"),
            {"image_url": "data:image/jpeg;base64," + base64.b64encode(JPEG).decode(), "detail": "low"},
            id="jpeg, roughly",
        ),
    ],
)
async def test_a_picture_is_a_user_item_and_starts_no_answer(
    line: Line, frame: ImageFrame, content: Json
) -> None:
    await line.adapter.send(frame)
    item = (await line.socket.take("conversation.item.create"))["item"]
    assert (item["type"], item["role"]) == ("message", "user")
    assert item["content"] == [{"type": "input_image", **content}]
    await line.socket.takes_nothing()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "no image/png", id="empty"),
        pytest.param(JPEG, "no image/png", id="of another type"),
        pytest.param(PNG + bytes(IMAGE_BYTES_MAX), "at most 1048576 bytes", id="too large"),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_sent(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ImageFrame("f", data, "image/png")


@pytest.mark.asyncio
async def test_the_end_of_a_turn_commits_what_was_said(line: Line) -> None:
    await line.adapter.send(AudioFrame("f1", bytes(960)))
    await line.adapter.send(TurnEndFrame("f2"))
    await line.socket.take("input_audio_buffer.append")
    await line.socket.take("input_audio_buffer.commit")
    await line.socket.takes_nothing()


@pytest.mark.asyncio
async def test_a_model_that_answers_by_itself_is_asked_when_a_turn_ends_by_hand(peer: Peer) -> None:
    config = replace(REQUEST.config, turn_detection=None, create_response=True)
    async with lined(peer, config) as (line, asked):
        assert asked["audio"]["input"]["turn_detection"] is None
        await line.adapter.send(TurnEndFrame("f"))
        await line.socket.take("input_audio_buffer.commit")
        create = await line.socket.take("response.create")
        assert "utterance_id" not in create["response"]["metadata"]


@pytest.mark.asyncio
@pytest.mark.parametrize("wanted", [True, False], ids=["unless told otherwise", "or not"])
async def test_speech_stops_an_answer(peer: Peer, wanted: bool) -> None:
    detection: dict[str, Any] = {"type": "semantic_vad", "eagerness": "low", "interrupt_response": wanted}
    config = replace(REQUEST.config, turn_detection=detection)  # type: ignore[arg-type]  # as a program gives it
    async with lined(peer, config) as (_, asked):
        assert asked["audio"]["input"]["turn_detection"] == {**detection, "create_response": False}


# Telephone audio


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("audio_format", "wire_type", "law"),
    [
        pytest.param(AudioFormat.G711_ULAW, "audio/pcmu", MU_LAW, id="µ-law"),
        pytest.param(AudioFormat.G711_ALAW, "audio/pcma", A_LAW, id="A-law"),
    ],
)
async def test_g711_is_on_the_wire_and_pcm_behind_it(
    peer: Peer, audio_format: AudioFormat, wire_type: str, law: Companding
) -> None:
    config = replace(REQUEST.config, input_format=audio_format, output_format=audio_format)
    async with lined(peer, config) as (line, asked):
        for side in ("input", "output"):
            assert asked["audio"][side]["format"] == {"type": wire_type}
        spoken = _tone(rate_hz=24_000, ms=400)
        for start in range(0, len(spoken), 960):
            await line.adapter.send(AudioFrame("f", spoken[start : start + 960]))
        sent = b""
        while len(sent) < 390 * 8:
            sent += base64.b64decode((await line.socket.take("input_audio_buffer.append"))["audio"])
        assert _likeness(law.decoded(sent).tobytes(), _tone(rate_hz=8_000, ms=400)) > 0.99

        coded = law.encoded(np.frombuffer(_tone(rate_hz=8_000, ms=400), "<i2"))
        pieces = [coded[start : start + 1_000] for start in range(0, len(coded), 1_000)]
        await line.socket.give(wire.created("r"), *(wire.audio("r", p) for p in pieces), wire.done("r"))
        heard = b""
        while True:
            (event,) = await line.next()
            if isinstance(event, ResponseEnded):
                break
            heard += event.pcm if isinstance(event, OutputAudio) else b""
        assert len(heard) == 400 * 48, "the end is not lost in a filter"
        assert _likeness(heard, spoken) > 0.99


@pytest.mark.asyncio
async def test_a_cut_of_g711_counts_its_own_milliseconds(peer: Peer) -> None:
    config = replace(REQUEST.config, output_format=AudioFormat.G711_ULAW)
    async with lined(peer, config) as (line, _):
        await line.socket.give(wire.created("r"), wire.audio("r", bytes(8 * 300)), wire.done("r"))
        await line.next(4)
        interrupted, truncated = await both(
            line.adapter.interrupt("r", heard_ms=200), _truncated(line.socket)
        )
        assert interrupted is None
        assert (truncated["audio_end_ms"], truncated["content_index"]) == (200, 0)


async def _truncated(socket: PeerSocket) -> Json:
    event = await socket.take("conversation.item.truncate")
    await socket.give(
        {
            "type": "conversation.item.truncated",
            "item_id": event["item_id"],
            "content_index": 0,
            "audio_end_ms": event["audio_end_ms"],
        }
    )
    return event


@pytest.mark.asyncio
async def test_half_a_sample_waits_for_the_other_half(line: Line) -> None:
    pcm = bytes(range(12))
    await line.socket.give(
        wire.created("r"),
        *(wire.audio("r", piece) for piece in (pcm[:3], pcm[3:4], pcm[4:5], pcm[5:])),
        wire.done("r"),
    )
    events = await line.next(5)
    heard = [event.pcm for event in events if isinstance(event, OutputAudio)]
    assert b"".join(heard) == pcm
    assert not any(len(piece) % 2 for piece in heard)


def _tone(*, rate_hz: int, ms: int) -> bytes:
    at = np.arange(rate_hz * ms // 1000) * (2 * np.pi * 400 / rate_hz)
    samples: bytes = (np.sin(at) * 8000).astype("<i2").tobytes()
    return samples


def _likeness(one: bytes, other: bytes) -> float:
    """How alike two sounds are, without their first and last 20 ms."""
    a, b = (np.frombuffer(sound, "<i2").astype(float) for sound in (one, other))
    margin = len(b) // 20
    a, b = a[margin : len(b) - margin], b[margin : len(b) - margin]
    a = a[: len(b)]
    return float(np.corrcoef(a, b[: len(a)])[0, 1])


# Reports


@pytest.mark.asyncio
async def test_what_an_answer_cost_is_told_before_its_end(line: Line) -> None:
    done = wire.done("r")
    done["response"]["usage"] = {
        "total_tokens": 253,
        "input_tokens": 132,
        "output_tokens": 121,
        "input_token_details": {
            "text_tokens": 119,
            "audio_tokens": 10,
            "image_tokens": 3,
            "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 64},
        },
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91, "reasoning_tokens": 7},
    }
    limits = [{"name": "tokens", "limit": 50_000, "remaining": 49_950, "reset_seconds": 0.06}]
    await line.socket.give(wire.created("r"), done, {"type": "rate_limits.updated", "rate_limits": limits})
    usage = Usage(
        input_tokens=132,
        output_tokens=121,
        input_text_tokens=119,
        input_audio_tokens=10,
        input_image_tokens=3,
        input_cached_tokens=64,
        output_text_tokens=30,
        output_audio_tokens=91,
        output_reasoning_tokens=7,
    )
    assert await line.next(4) == [
        ResponseStarted("r"),
        UsageReported(usage, "r"),
        ResponseEnded("r", ResponseStatus.COMPLETED),
        RateLimitsReported((RateLimit("tokens", 50_000, 49_950, 0.06),)),
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        pytest.param({"type": "duration", "seconds": 2.5}, Usage(audio_ms=2_500), id="by time"),
        pytest.param(
            {
                "type": "tokens",
                "total_tokens": 22,
                "input_tokens": 13,
                "output_tokens": 9,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 13},
            },
            Usage(input_tokens=13, output_tokens=9, input_audio_tokens=13),
            id="by tokens",
        ),
    ],
)
async def test_what_the_users_words_cost_is_told_with_them(line: Line, usage: Json, cost: Usage) -> None:
    completed = "conversation.item.input_audio_transcription.completed"
    common = {"type": completed, "content_index": 0, "usage": usage}
    await line.socket.give(
        {**common, "item_id": "i", "transcript": "two coffees"}, {**common, "item_id": "j", "transcript": ""}
    )
    assert await line.next(4) == [
        UsageReported(cost),
        InputTranscript("i", "two coffees", final=True),
        UsageReported(cost),
        InputRejected("j"),
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "report",
    [
        pytest.param(None, id="null"),
        pytest.param({}, id="empty"),
        pytest.param("canary", id="a word"),
        pytest.param([["canary"]], id="a list"),
        pytest.param({"input_tokens": "many", "output_tokens": True}, id="no numbers"),
        pytest.param({"input_tokens": 0, "input_token_details": 7}, id="no object"),
        pytest.param({"error": "canary", "reason": 7}, id="no details"),
    ],
)
async def test_a_report_that_cannot_be_read_costs_nothing_else(line: Line, report: object) -> None:
    done = wire.done("r")
    done["response"] |= {"usage": report, "status_details": report}
    await line.socket.give(wire.created("r"), done, {"type": "rate_limits.updated", "rate_limits": report})
    assert await line.next(2) == [ResponseStarted("r"), ResponseEnded("r", ResponseStatus.COMPLETED)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [
        pytest.param(
            "failed",
            {"type": "failed", "error": {"code": "inference_rate_limit_exceeded"}},
            Reason.RATE_LIMITED,
            id="throttled",
        ),
        pytest.param(
            "failed",
            {"type": "failed", "error": {"type": "insufficient_quota", "code": "insufficient_quota"}},
            Reason.NOT_ALLOWED,
            id="out of money",
        ),
        pytest.param(
            "failed", {"type": "failed", "error": {"type": "server_error"}}, Reason.UNAVAILABLE, id="broken"
        ),
        pytest.param(
            "incomplete",
            {"type": "incomplete", "reason": "content_filter"},
            Reason.NOT_ALLOWED,
            id="filtered",
        ),
        pytest.param(
            "incomplete",
            {"type": "incomplete", "reason": "max_output_tokens"},
            Reason.OVERFLOW,
            id="too long",
        ),
        pytest.param("cancelled", {"type": "cancelled", "reason": "turn_detected"}, None, id="spoken over"),
    ],
)
async def test_an_answer_that_is_not_whole_tells_why(
    line: Line, status: str, details: Json, reason: Reason | None
) -> None:
    done = wire.done("r", status)
    done["response"]["status_details"] = details
    await line.socket.give(wire.created("r"), done)
    assert await line.next(2) == [ResponseStarted("r"), ResponseEnded("r", ResponseStatus(status), reason)]


# The end of a connection, foreseen and not


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("left_s", "told_after_s", "told_s"),
    [
        pytest.param(3600, 3300, 300, id="an hour"),
        pytest.param(400, 200, 200, id="minutes"),
        pytest.param(None, 3300, 300, id="not said"),
        pytest.param(-50, 3300, 300, id="by a clock that is wrong"),
    ],
)
async def test_the_end_of_a_connection_is_told_in_time(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, left_s: int | None, told_after_s: float, told_s: float
) -> None:
    loop = asyncio.get_running_loop()
    later: list[tuple[float, tuple[Any, ...]]] = []
    call_later = loop.call_later

    def noted(delay: float, callback: Any, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        if args and isinstance(args[0], ConnectionExpiring):
            later.append((delay, (callback, *args)))
        return call_later(delay, callback, *args, **kwargs)

    monkeypatch.setattr(loop, "call_later", noted)
    session = {} if left_s is None else {"expires_at": int(time.time()) + left_s}
    async with lined(peer, REQUEST.config, session=session) as (line, _):
        ((delay, (callback, event)),) = later
        assert delay == pytest.approx(told_after_s, abs=2)
        callback(event)
        (told,) = await line.next()
        assert isinstance(told, ConnectionExpiring)
        assert told.left_s == pytest.approx(told_s, abs=2)


# Servers that follow the protocol in their own way


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
