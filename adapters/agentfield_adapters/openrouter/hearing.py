"""Finds the user's turns in a stream of audio, or keeps it until somebody says that a turn is over.

The detector is the local provider's: it is there if the `local` extra is installed. Without it, and without
`turn_detection`, a session is push to talk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agentfield_rt.frames import BYTES_PER_MS

TURN_MS_MIN = 100
TURN_MS_MAX = 60_000
"""Of a longer turn only the last minute is kept."""

_THRESHOLD = 0.5
_SILENCE_MS = 500
_SEMANTIC_SILENCE_MS = {"high": 320, "medium": 600, "auto": 600, "low": 1000}


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """The user began to speak."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The user stopped; mono int16 PCM at 24 kHz, from a little before the first word."""

    pcm: bytes


class Ears(Protocol):
    """Hears one user."""

    def hear(self, pcm: bytes) -> list[TurnBegan | TurnEnded]:
        """Take more audio, mono int16 PCM at 24 kHz."""
        ...

    def commit(self) -> bytes | None:
        """The turn that somebody else says is over; None if there is none, or ears find turns themselves."""
        ...


class PushToTalk:
    """Keeps audio until it is asked for."""

    def __init__(self) -> None:
        self._turn = bytearray()

    def hear(self, pcm: bytes) -> list[TurnBegan | TurnEnded]:
        """Keep it: whoever holds the button knows when the turn began."""
        self._turn += pcm
        del self._turn[: -TURN_MS_MAX * BYTES_PER_MS]
        return []

    def commit(self) -> bytes | None:
        """All that was heard since the last time, or None if that is less than 100 ms."""
        pcm = bytes(self._turn)
        self._turn.clear()
        return pcm if len(pcm) >= TURN_MS_MIN * BYTES_PER_MS else None


def ears_for(turn_detection: Mapping[str, Any] | None) -> Ears:
    """Ears that find turns as a session wants it.

    Raises:
        ImportError: it wants turns to be found, and no detector is installed.
    """
    if turn_detection is None:
        return PushToTalk()
    # Here and not above: without the `local` extra there is no detector to import.
    from agentfield_adapters.openrouter.turn_finder import TurnFinder

    if turn_detection.get("type") == "semantic_vad":
        eagerness = str(turn_detection.get("eagerness", "auto"))
        return TurnFinder(threshold=_THRESHOLD, silence_ms=_SEMANTIC_SILENCE_MS.get(eagerness, _SILENCE_MS))
    return TurnFinder(
        threshold=float(turn_detection.get("threshold", _THRESHOLD)),
        silence_ms=int(turn_detection.get("silence_duration_ms", _SILENCE_MS)),
    )
