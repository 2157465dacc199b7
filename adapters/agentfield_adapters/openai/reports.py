"""What the provider reports beside the conversation: costs, limits, and why an answer is not whole."""

import msgspec

from agentfield_adapters.lenient import as_list, as_object, count, scaled, told
from agentfield_adapters.openai.failures import reason_of
from agentfield_adapters.openai.server_events import plain
from agentfield_rt.errors import Reason
from agentfield_rt.frames import RateLimit, Usage

LIMITS_MAX = 16

_ENDS = {"content_filter": Reason.NOT_ALLOWED, "max_output_tokens": Reason.OVERFLOW}


def usage(raw: msgspec.Raw) -> Usage | None:
    """What a response or a transcription cost (OpenAI Realtime: `usage`); None if it does not say."""
    cost = as_object(told(raw))
    into, out = as_object(cost.get("input_token_details")), as_object(cost.get("output_token_details"))
    found = Usage(
        input_tokens=count(cost, "input_tokens"),
        output_tokens=count(cost, "output_tokens"),
        input_text_tokens=count(into, "text_tokens"),
        input_audio_tokens=count(into, "audio_tokens"),
        input_image_tokens=count(into, "image_tokens"),
        input_cached_tokens=count(into, "cached_tokens"),
        output_text_tokens=count(out, "text_tokens"),
        output_audio_tokens=count(out, "audio_tokens"),
        output_reasoning_tokens=count(out, "reasoning_tokens"),
        audio_ms=scaled(cost, "seconds", 1000),
    )
    return None if found == Usage() else found


def rate_limits(raw: msgspec.Raw) -> tuple[RateLimit, ...]:
    """The limits that can be read (OpenAI Realtime: `rate_limits.updated`)."""
    limits = (_rate_limit(member) for member in as_list(told(raw))[:LIMITS_MAX])
    return tuple(limit for limit in limits if limit is not None)


def failure(raw: msgspec.Raw) -> Reason | None:
    """Why a response is not whole (OpenAI Realtime: `status_details`); None where it does not say."""
    details = as_object(told(raw))
    if error := as_object(details.get("error")):
        return reason_of(str(error.get("code"))) or Reason.UNAVAILABLE
    return _ENDS.get(str(details.get("reason")))


def _rate_limit(member: object) -> RateLimit | None:
    limit = as_object(member)
    name = limit.get("name")
    if not isinstance(name, str):
        return None
    reset_s = scaled(limit, "reset_seconds", 1000) / 1000
    return RateLimit(plain(name), count(limit, "limit"), count(limit, "remaining"), reset_s)
