"""Finds turns by voice activity, with the ears of the local provider; it needs that extra."""

import numpy as np

from agentfield_adapters.local.ear_rate import EarResampler
from agentfield_adapters.local.ears.turn_detector import Change, TurnDetector, TurnRules
from agentfield_adapters.local.ears.voice_activity import CHUNK_BYTES, VoiceActivity
from agentfield_adapters.openrouter.hearing import TURN_MS_MAX, TurnBegan, TurnEnded
from agentfield_rt.frames import BYTES_PER_MS, SAMPLE_RATE_HZ

PRE_ROLL_MS = 320
"""Speech is noticed late: without what came before, the first word would be lost."""
_STEP_BYTES = 32 * BYTES_PER_MS


class TurnFinder:
    """Hears one user, in the order of the audio and never of a clock.

    Args:
        threshold: How likely speech must be, 0 to 1.
        silence_ms: How long without speech ends a turn.
    """

    def __init__(self, *, threshold: float, silence_ms: int) -> None:
        self._resampler = EarResampler(SAMPLE_RATE_HZ)
        self._activity = VoiceActivity()
        self._detector = TurnDetector(TurnRules(threshold, silence_ms))
        self._carry = bytearray()
        self._at_ear_rate = bytearray()
        self._heard = bytearray()  # before a turn its pre-roll, in a turn all of it

    def hear(self, pcm: bytes) -> list[TurnBegan | TurnEnded]:
        """Take more audio, mono int16 PCM at 24 kHz."""
        self._carry += pcm
        found: list[TurnBegan | TurnEnded] = []
        while len(self._carry) >= _STEP_BYTES:
            step = bytes(self._carry[:_STEP_BYTES])
            del self._carry[:_STEP_BYTES]
            self._heard += step
            self._at_ear_rate += self._resampler.resampled(np.frombuffer(step, dtype="<i2"))
            while len(self._at_ear_rate) >= CHUNK_BYTES:
                chunk = bytes(self._at_ear_rate[:CHUNK_BYTES])
                del self._at_ear_rate[:CHUNK_BYTES]
                found += self._judge(chunk)
        return found

    def commit(self) -> bytes | None:
        """Nothing: these ears know by themselves when a turn is over."""
        return None

    def _judge(self, chunk: bytes) -> list[TurnBegan | TurnEnded]:
        change = self._detector.feed(self._activity.probability(chunk))
        if change is Change.STARTED:
            return [TurnBegan()]
        if change is Change.ENDED:
            turn = bytes(self._heard)
            self._heard.clear()
            return [TurnEnded(turn)]
        kept_ms = TURN_MS_MAX if self._detector.speaking else PRE_ROLL_MS
        del self._heard[: -kept_ms * BYTES_PER_MS]
        return []
