"""What openai/websocket tells beside the words: costs, limits, why an answer is not whole, its own end."""

import asyncio
import time
from typing import Any

import pytest

from agentfield_rt.errors import Reason
from agentfield_rt.frames import (
    ConnectionExpiring,
    InputRejected,
    InputTranscript,
    RateLimit,
    RateLimitsReported,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    Usage,
    UsageReported,
)
from tests.adapters import peer as wire
from tests.adapters.peer import Json, Peer
from tests.adapters.websocket_line import REQUEST, Line, lined

PNG = b"\x89PNG\r\n\x1a\n" + bytes(9)
JPEG = b"\xff\xd8\xff" + bytes(9)


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
