"""When a turn begins and ends, from the likelihood of speech alone. Pure: no audio, no clock, no events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from agentfield_adapters.local.ears.voice_activity import CHUNK_MS

ONSET_MS = 96  # three chunks over the threshold: one alone is often a click
RELEASE = 0.15  # speech ends this much below the threshold at which it begins
NOTICED_LATE_MS = 64  # the detector hears speech on for that long after its end (measured: 18-142, median 80)
SETTLE_MS = 160  # a silence that long probably ends the turn: time to start recognising it


class Change(Enum):
    """What a chunk changed."""

    NONE = auto()
    STARTED = auto()
    SETTLED = auto()
    RESUMED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class TurnRules:
    """When a turn begins and ends.

    Attributes:
        threshold: Likelihood of speech, 0 to 1.
        silence_ms: Without speech for that long ends the turn; counted from when speech really ended.
    """

    threshold: float
    silence_ms: int


class TurnDetector:
    """Follows one stream of likelihoods.

    A turn goes STARTED, then any number of SETTLED and RESUMED in turns, then ENDED; SETTLED always
    comes before ENDED, so that whoever recognises speech can begin in the silence.
    """

    def __init__(self, rules: TurnRules) -> None:
        self.rules = rules
        self._speaking = False
        self._settled = False
        self._onset_ms = 0
        self._silent_ms = 0

    @property
    def speaking(self) -> bool:
        """Whether a turn is open."""
        return self._speaking

    def feed(self, probability: float) -> Change:
        """Take the likelihood of the next 32 ms."""
        if not self._speaking:
            self._onset_ms = self._onset_ms + CHUNK_MS if probability > self.rules.threshold else 0
            if self._onset_ms < ONSET_MS:
                return Change.NONE
            self._speaking, self._settled, self._silent_ms = True, False, NOTICED_LATE_MS
            return Change.STARTED
        if probability >= self.rules.threshold - RELEASE:
            self._silent_ms = NOTICED_LATE_MS
            resumed, self._settled = self._settled, False
            return Change.RESUMED if resumed else Change.NONE
        self._silent_ms += CHUNK_MS
        if not self._settled and self._silent_ms >= min(SETTLE_MS, self.rules.silence_ms - CHUNK_MS):
            self._settled = True
            return Change.SETTLED
        if self._silent_ms >= self.rules.silence_ms:
            self.reset()
            return Change.ENDED
        return Change.NONE

    def reset(self) -> None:
        """Forget an open turn."""
        self._speaking = self._settled = False
        self._onset_ms = self._silent_ms = 0
