"""What is done to the text of one piece of a streamed completion. Pure."""

from __future__ import annotations

import json
from typing import Any

from agentfield_adapters.local.faults.damage import WRONG_CALL_ID, Shape, shortened

DONE = "[DONE]"
_PARTS = ("tool_calls", "role", "content")


def piece_type(text: str) -> str:
    """Return what a piece brings: `role`, `content`, `transcript`, `audio`, `tool_calls`, `finish`…"""
    if text == DONE:
        return "done"
    chunk = json.loads(text)
    if not chunk["choices"]:
        return "usage"
    choice = chunk["choices"][0]
    delta = choice["delta"]
    if choice["finish_reason"] is not None:
        return "finish"
    if (sound := delta.get("audio")) is not None:
        return "audio" if "data" in sound else "transcript"
    return next(part for part in _PARTS if part in delta)


def _error_before(text: str, code: str, message: str) -> str:
    choice = {"index": 0, "delta": {"content": ""}, "logprobs": None, "finish_reason": "error"}
    return json.dumps({**_frame(text), "error": {"code": code, "message": message}, "choices": [choice]})


def _stranger_before(text: str) -> str:
    return json.dumps({"id": _frame(text).get("id"), "object": "surprise", "surprise": {}})


def _without_some_audio(text: str, how: str) -> str:
    chunk = _frame(text)
    for choice in chunk.get("choices", ()):
        sound = choice["delta"].get("audio", {})
        if "data" in sound:
            sound["data"] = shortened(sound["data"], how)
    return json.dumps(chunk) if chunk else text


def _with_wrong_call_id(text: str) -> str:
    chunk = _frame(text)
    for choice in chunk.get("choices", ()):
        for call in choice["delta"].get("tool_calls", ()):
            if "id" in call:
                call["id"] = WRONG_CALL_ID
    return json.dumps(chunk) if chunk else text


def _frame(text: str) -> dict[str, Any]:
    """Return the chunk; nothing of `[DONE]`."""
    chunk: dict[str, Any] = {} if text == DONE else json.loads(text)
    return chunk


CHAT = Shape(_error_before, _stranger_before, _without_some_audio, _with_wrong_call_id)
