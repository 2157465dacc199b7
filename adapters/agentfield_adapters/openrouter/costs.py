"""What an answer cost, as chat completions tell it (OpenAI: `usage` of the last chunk)."""

import msgspec

from agentfield_adapters.lenient import as_object, count, told
from agentfield_rt.frames import Usage


def usage(raw: msgspec.Raw) -> Usage | None:
    """The tokens of one answer; None if the chunk does not say."""
    cost = as_object(told(raw))
    into, out = as_object(cost.get("prompt_tokens_details")), as_object(cost.get("completion_tokens_details"))
    found = Usage(
        input_tokens=count(cost, "prompt_tokens"),
        output_tokens=count(cost, "completion_tokens"),
        input_audio_tokens=count(into, "audio_tokens"),
        input_cached_tokens=count(into, "cached_tokens"),
        output_audio_tokens=count(out, "audio_tokens"),
        output_reasoning_tokens=count(out, "reasoning_tokens"),
    )
    return None if found == Usage() else found
