"""What is done to the text of one event of the realtime protocol. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

WRONG_CALL_ID = "call_nobodywasgiventhis00"


@dataclass(frozen=True, slots=True)
class Shape:
    """How the events of one protocol are damaged.

    Attributes:
        error_before: An error with a code and a message, to come before an event.
        stranger_before: An event of no known type, to come before an event.
        without_some_audio: An event whose audio is `odd`, without its `tail`, or no `base64`.
        with_wrong_call_id: An event whose calls have an id that nobody was given.
    """

    error_before: Callable[[str, str, str], str]
    stranger_before: Callable[[str], str]
    without_some_audio: Callable[[str, str], str]
    with_wrong_call_id: Callable[[str], str]


def unreadable(text: str, how: str) -> str | bytes:
    """Return an event as `cut` JSON, with invalid `utf8`, or with fields of the wrong `types`."""
    match how:
        case "utf8":
            return text.encode()[:-1] + b"\xff\xfe}"
        case "types":
            event: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
            return json.dumps({key: value if key == "type" else [value] for key, value in event.items()})
        case _:
            return text[: len(text) // 2]


def enlarged(text: str, size_bytes: int) -> str:
    """Return an event with so much padding in it."""
    return f'{{"padding":"{"x" * max(0, size_bytes - len(text))}",{text[1:]}'


def without_some_audio(text: str, how: str) -> str:
    """Return a delta of audio with an `odd` number of bytes, without its `tail`, or as no `base64`."""
    event = json.loads(text)
    if "delta" not in event:
        return text
    return json.dumps({**event, "delta": shortened(event["delta"], how)})


def shortened(audio_base64: str, how: str) -> str:
    """Return audio without its second half, or with an `odd` number of bytes."""
    if how == "base64":
        return f"%{audio_base64[1:]}"
    pcm = base64.b64decode(audio_base64)
    return base64.b64encode(pcm[: len(pcm) // 4 * 2] if how == "tail" else pcm[:-1]).decode()


def with_wrong_call_id(text: str) -> str:
    """Return an event in which every call has an id that nobody was given."""
    return json.dumps(_with_wrong_call_id(json.loads(text)))


def error_before(text: str, code: str, message: str) -> str:
    """Return an `error` of the provider; its id is made from that of the event it comes before."""
    kind = "invalid_request_error" if code == "session_expired" else "server_error"
    error = {"type": kind, "code": code, "message": message, "param": None, "event_id": None}
    return json.dumps({"type": "error", "event_id": _id_before(text), "error": error})


def stranger_before(text: str) -> str:
    """Return an event of a type that the protocol does not have."""
    return json.dumps({"type": "surprise.arrived", "event_id": _id_before(text), "surprise": {}})


def _id_before(text: str) -> str:
    return f"{json.loads(text)['event_id']}_before"


def _with_wrong_call_id(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return {
            key: WRONG_CALL_ID if key == "call_id" else _with_wrong_call_id(part)
            for key, part in fields.items()
        }
    if isinstance(value, list):
        return [_with_wrong_call_id(part) for part in cast(list[object], value)]
    return value


REALTIME = Shape(error_before, stranger_before, without_some_audio, with_wrong_call_id)
