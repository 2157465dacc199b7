"""When a user's turn is over: the provider's `turn_detection` object, checked as AgentField checks it."""

import math
from collections.abc import Mapping
from typing import Any

_BOOLEANS = {"create_response": True, "interrupt_response": True}
_SERVER_VAD: dict[str, Any] = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
_EAGERNESS = ("auto", "low", "medium", "high")


class InvalidTurnDetection(ValueError):
    """The object is not one that a provider would take; the message says which member is wrong."""


def validate_turn_detection(
    given: Mapping[str, Any] | None, *, provider: str, transport: str
) -> dict[str, Any]:
    """The complete object, defaults filled in; server_vad when none is given.

    Raises:
        InvalidTurnDetection: a member is unknown, of the wrong type or out of range.
    """
    if given is None:
        return {"type": "server_vad", **_SERVER_VAD, **_BOOLEANS}
    if transport not in ("webrtc", "websocket") or provider not in ("openai", "local"):
        raise InvalidTurnDetection(
            "turn_detection requires provider=openai and transport=webrtc or websocket"
        )
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTurnDetection("turn_detection must be an object")
    kind = given.get("type", "server_vad")
    if kind == "server_vad":
        allowed = _SERVER_VAD | _BOOLEANS
    elif kind == "semantic_vad":
        allowed = {"eagerness": "auto"} | _BOOLEANS
    else:
        raise InvalidTurnDetection("turn_detection.type must be server_vad or semantic_vad")
    for name, value in given.items():
        if name != "type":
            _check(kind, name, value, allowed)
    return {"type": kind, **allowed, **{name: value for name, value in given.items() if name != "type"}}


def _check(kind: str, name: str, value: Any, allowed: Mapping[str, Any]) -> None:
    if name not in allowed:
        raise InvalidTurnDetection(f"turn_detection.{name} is unsupported for {kind}")
    if name in _BOOLEANS:
        if not isinstance(value, bool):
            raise InvalidTurnDetection(f"turn_detection.{name} must be a boolean")
    elif name == "threshold":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and 0 <= value <= 1):
            raise InvalidTurnDetection("turn_detection.threshold must be a finite number between 0 and 1")
    elif name == "eagerness":
        if value not in _EAGERNESS:
            raise InvalidTurnDetection("turn_detection.eagerness must be auto, low, medium, or high")
    elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidTurnDetection(f"turn_detection.{name} must be a non-negative integer")
