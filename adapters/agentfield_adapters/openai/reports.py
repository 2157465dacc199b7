"""What the provider reports beside the conversation: what it cost, how near limits are, why an answer ended.

Lenient to the last field: a report that cannot be read is none, and takes nothing from the event it is in.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from agentfield_adapters.openai.server_events import UNREADABLE, plain
from agentfield_rt.errors import Reason
from agentfield_rt.frames import RateLimit, Usage

LIMITS_MAX = 16
_COUNT_MAX = 2**53 - 1

# Why a response came to nothing, or not to its end (OpenAI Realtime: `response.status_details`).
_FAILURES = {
    "inference_rate_limit_exceeded": Reason.RATE_LIMITED,
    "rate_limit_exceeded": Reason.RATE_LIMITED,
    "insufficient_quota": Reason.NOT_ALLOWED,
    "billing_hard_limit_reached": Reason.NOT_ALLOWED,
}
_ENDS = {"content_filter": Reason.NOT_ALLOWED, "max_output_tokens": Reason.OVERFLOW}

_decoder = msgspec.json.Decoder()


def usage(raw: msgspec.Raw) -> Usage | None:
    """What a response or a transcription cost (OpenAI Realtime: `usage`); None if it does not say."""
    told = _object(raw)
    into, out = _part(told, "input_token_details"), _part(told, "output_token_details")
    seconds = told.get("seconds")
    found = Usage(
        input_tokens=_count(told, "input_tokens"),
        output_tokens=_count(told, "output_tokens"),
        input_text_tokens=_count(into, "text_tokens"),
        input_audio_tokens=_count(into, "audio_tokens"),
        input_image_tokens=_count(into, "image_tokens"),
        input_cached_tokens=_count(into, "cached_tokens"),
        output_text_tokens=_count(out, "text_tokens"),
        output_audio_tokens=_count(out, "audio_tokens"),
        output_reasoning_tokens=_count(out, "reasoning_tokens"),
        audio_ms=_bounded(seconds * 1000) if _is_number(seconds) else 0,
    )
    return None if found == Usage() else found


def rate_limits(raw: msgspec.Raw) -> tuple[RateLimit, ...]:
    """The limits that can be read (OpenAI Realtime: `rate_limits.updated`)."""
    told = _told(raw)
    limits = (_rate_limit(member) for member in told[:LIMITS_MAX]) if isinstance(told, list) else ()
    return tuple(limit for limit in limits if limit is not None)


def failure(raw: msgspec.Raw) -> Reason | None:
    """Why a response is not whole; None where the provider does not say it in words that are known."""
    details = _object(raw)
    if error := _part(details, "error"):
        return _FAILURES.get(str(error.get("code")), Reason.UNAVAILABLE)
    return _ENDS.get(str(details.get("reason")))


def _rate_limit(member: Any) -> RateLimit | None:
    if not isinstance(member, dict) or not isinstance(member.get("name"), str):
        return None
    reset_s = member.get("reset_seconds")
    return RateLimit(
        plain(member["name"]),
        _count(member, "limit"),
        _count(member, "remaining"),
        float(_bounded(reset_s * 1000)) / 1000 if _is_number(reset_s) else 0.0,
    )


def _told(raw: msgspec.Raw) -> Any:
    """What is written there; None for what cannot be held, such as a number without end."""
    try:
        return _decoder.decode(raw)
    except UNREADABLE:
        return None


def _object(raw: msgspec.Raw) -> Mapping[str, Any]:
    told = _told(raw)
    return told if isinstance(told, dict) else {}


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = told.get(name)
    return part if isinstance(part, dict) else {}


def _count(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name)
    return _bounded(value) if _is_number(value) else 0


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounded(value: float) -> int:
    """A count as the journal takes it, whatever a server writes."""
    return int(min(max(value, 0), _COUNT_MAX))
