"""The chunks of a streamed answer, as the vendor sends them (OpenAI: `chat.completion.chunk`)."""

from __future__ import annotations

import base64
from typing import Any, Literal

import msgspec

Finish = Literal["stop", "length", "tool_calls"]

_encode = msgspec.json.Encoder().encode

DONE = b"data: [DONE]\n\n"
COMMENT = b": PROCESSING\n\n"
"""What OpenRouter sends while a model thinks; a client must skip it."""


class Chunks:
    """Makes the chunks of one answer.

    Args:
        completion_id: `chatcmpl-…`.
        created: Seconds since the epoch.
        counts: Whether a chunk with the number of tokens comes last; all others then have a null there.
    """

    def __init__(self, completion_id: str, model: str, *, created: int, counts: bool) -> None:
        self._frame: dict[str, Any] = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": None,
        }
        self._counts = counts

    def delta(self, delta: dict[str, Any], finish: Finish | None = None) -> bytes:
        """Something new, or the end."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._event({"choices": [choice], **({"usage": None} if self._counts else {})})

    def usage(self, read: int, written: int, *, spoken: bool) -> bytes:
        """The number of tokens: here, of words."""
        audio = written if spoken else 0
        usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
            "completion_tokens_details": {"audio_tokens": audio, "reasoning_tokens": 0},
        }
        return self._event({"choices": [], "usage": usage})

    def error(self, message: str) -> bytes:
        """A failure in the middle of the stream, where the status has been sent (as OpenRouter does)."""
        choice = {"index": 0, "delta": {"content": ""}, "logprobs": None, "finish_reason": "error"}
        return self._event({"error": {"code": 500, "message": message}, "choices": [choice]})

    def _event(self, body: dict[str, Any]) -> bytes:
        return b"data: " + _encode({**self._frame, **body}) + b"\n\n"


def sound(pcm: bytes) -> dict[str, Any]:
    """The delta of a piece of speech."""
    return {"audio": {"data": base64.b64encode(pcm).decode()}}
