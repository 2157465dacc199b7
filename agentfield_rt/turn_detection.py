"""When a user's turn is over: the provider's `turn_detection`, typed, and checked as AgentField checks it."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Required, TypedDict, cast


class ServerVad(TypedDict, total=False):
    """A turn ends after a silence (OpenAI Realtime: `server_vad`). What is left out is the provider's choice.

    Attributes:
        threshold: How sure it must be that somebody speaks, 0 to 1.
        prefix_padding_ms: Audio before the first word that belongs to the turn.
        silence_duration_ms: The silence that ends it.
        create_response: The model answers a turn by itself; `SessionConfig.create_response` decides that.
        interrupt_response: Whoever speaks over an answer stops it.
    """

    type: Required[Literal["server_vad"]]
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    create_response: bool
    interrupt_response: bool


class SemanticVad(TypedDict, total=False):
    """A model judges whether the user has finished (OpenAI Realtime: `semantic_vad`).

    Attributes:
        eagerness: How soon: it waits for 2 s (`high`), 4 s (`medium`, `auto`) or 8 s (`low`) at most.
    """

    type: Required[Literal["semantic_vad"]]
    eagerness: Literal["auto", "low", "medium", "high"]
    create_response: bool
    interrupt_response: bool


TurnDetection = ServerVad | SemanticVad
"""Who finds the end of a turn; in its place None is push to talk: whoever holds the button ends the turn."""

PUSH_TO_TALK = "none"
"""The `type` of an object that asks for no detection at all."""

_BOOLEANS = {"create_response": True, "interrupt_response": True}
_SERVER_VAD: dict[str, Any] = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
_EAGERNESS = ("auto", "low", "medium", "high")


class InvalidTurnDetection(ValueError):
    """The object is not one that a provider would take; the message says which member is wrong."""


def validate_turn_detection(
    given: Mapping[str, Any] | None, *, provider: str, transport: str
) -> TurnDetection | None:
    """The complete object, defaults filled in: server_vad when none is given, None for `{"type": "none"}`.

    Raises:
        InvalidTurnDetection: a member is unknown, of the wrong type or out of range.
    """
    if given is None:
        return cast(ServerVad, {"type": "server_vad", **_SERVER_VAD, **_BOOLEANS})
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTurnDetection("turn_detection must be an object")
    kind = given.get("type", "server_vad")
    if kind == PUSH_TO_TALK:  # every pair can do without
        for name in given.keys() - {"type"}:
            raise InvalidTurnDetection(f"turn_detection.{name} is unsupported for none")
        return None
    if transport not in ("webrtc", "websocket") or provider not in ("openai", "local"):
        raise InvalidTurnDetection(
            "turn_detection requires provider=openai and transport=webrtc or websocket"
        )
    if kind == "server_vad":
        defaults = _SERVER_VAD | _BOOLEANS
    elif kind == "semantic_vad":
        defaults = {"eagerness": "auto"} | _BOOLEANS
    else:
        raise InvalidTurnDetection("turn_detection.type must be server_vad, semantic_vad, or none")
    for name, value in given.items():
        if name != "type":
            if name not in defaults:
                raise InvalidTurnDetection(f"turn_detection.{name} is unsupported for {kind}")
            _check(name, value)
    return cast(TurnDetection, {**defaults, **given, "type": kind})


def interrupts(detection: TurnDetection | None) -> bool:
    """Whether a user who speaks over an answer stops it; only an object that says no prevents it."""
    return detection is None or detection.get("interrupt_response", True)


def _check(name: str, value: Any) -> None:
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
